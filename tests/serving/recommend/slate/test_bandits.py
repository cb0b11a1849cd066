"""Bandits in answers: drawn by the allocation that the ledger has, which follows its renewals, and the chance is stored."""

import pytest

from tailorbird.experiments.design.declared import experiment_of
from tailorbird.experiments.running.ledger import Ledger
from tailorbird.experiments.running.renewals import Renewal

PATH, ASSIGNMENTS = "/v1/recommendations", "/v1/assignments"
DECLARED = {
    "hypothesis": "h",
    "kind": "bandit",
    "unit": "request",
    "metrics": {"primary": "slate_click_rate", "minimum_effect": 0.1},
    "variants": {"usual": {}, "bold": {"payload": {"headline": "For you"}}},
    "bandit": {"policy": "linucb", "context": {"device": ["mobile"]}},
}


@pytest.fixture
def ledger(world) -> Ledger:
    ledger = Ledger(world.settings.folder)
    ledger.start(experiment_of("row", DECLARED, where="row"), DECLARED, at=1.0, who="ann")
    world.check()
    return ledger


def test_each_answer_is_drawn_and_its_chance_is_stored(world, ledger):
    ledger.renew("row", Renewal(1, 2.0, "ann", ((0.9, 0.1), (0.3, 0.7))))
    world.check()
    told = {}
    for n in range(20):
        body = {"userId": "ann", "numResults": 3, "context": {"device": ("mobile", "desktop")[n % 2]}}
        answer = world.post(PATH, body).json()
        told[answer["recommendationId"]] = answer["experiments"][0]["variant"]
    stored = world.stored()
    assert set(told.values()) == {"usual", "bold"}
    assert {each.recommendation_id: each.experiments["row"] for each in stored} == told
    for each in stored:
        cell = 0 if each.context["device"] == "mobile" else 1
        chance = ((0.9, 0.1), (0.3, 0.7))[cell][each.experiments["row"] == "bold"]
        assert each.request["bandits"] == {"row": [1, cell, chance]}


def test_what_is_told_to_a_page_is_drawn_by_its_own_name(world, ledger):
    answers = [world.post(ASSIGNMENTS, {"anonymousId": "vi"}).json() for _ in range(12)]
    told = {each["assignmentId"]: each["assignments"][0]["variant"] for each in answers}
    assert set(told.values()) == {"usual", "bold"}
    for each in world.stored():
        assert each.experiments["row"] == told[each.recommendation_id]
        assert each.request["bandits"] == {"row": [0, 1, 0.5]}


@pytest.mark.parametrize("purpose", ["personalization", "analytics"])
def test_who_refuses_is_no_unit_and_their_context_decides_nothing(world, ledger, purpose):
    refused = {"device": "mobile", "purposes": {purpose: False}}
    answer = world.post(PATH, {"userId": "ann", "numResults": 3, "context": refused}).json()
    assert answer["experiments"] == []
    (stored,) = world.stored()
    assert "bandits" not in stored.request
    assert not stored.experiments
