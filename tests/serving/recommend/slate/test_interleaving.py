"""Interleaved answers: both rankings share a slate, each pick is recorded, and what cannot be drafted is control's and not counted."""

from typing import Any

import numpy as np
import pytest

from serving.http.front import Request
from serving.http.schemas import Visitor
from serving.recommend.slate.exposures import described
from tailorbird.experiments.arm import CHAMPION, Arm, SlateSettings
from tailorbird.experiments.deciding.own import read_interleaving_out
from tailorbird.experiments.interleaving.drafting import coin_of, draft
from tailorbird.exposures.exposure import TEAMS
from tailorbird.slate.exploration import Exploration
from tests.serving.recommend.slate.test_experiments import ASSIGNMENTS, asked, start

POTS = {"slate": {"rules": {"categories": ["pots"]}}}
KEY = "pots"


def interleave(world, *, key: str = KEY, b: dict[str, Any] | None = None, **more: Any) -> None:
    start(world, key, kind="interleaving", variants={"usual": {}, "b": b or POTS}, **more)


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["itemId"] for item in answer["items"]]


def test_a_slate_is_drafted_of_both_rankings_and_says_who_picked_what(world):
    usual = ids(asked(world, "eve", numResults=4))
    interleave(world)
    answers = [asked(world, "eve", numResults=4) for _ in range(12)]
    assert {answer["arm"] for answer in answers} == {"pots:interleaved"}
    assert answers[0]["experiments"] == [{"key": KEY, "variant": "interleaved"}]
    shown = {each.recommendation_id: each for each in world.stored()[1:]}
    orders = set()
    for answer in answers:
        exposure = shown[answer["recommendationId"]]
        expected = list(
            draft(usual, ["i8", "i9", "i10", "i11"], coin=coin_of(KEY, exposure.recommendation_id))
        )
        assert ids(answer) == list(exposure.items) == [pick.item for pick in expected[:4]]
        assert exposure.propensities.tolist() == [pick.chance for pick in expected[:4]]
        names = {0: "usual", 1: "b", -1: None}
        assert exposure.request[TEAMS] == [names[pick.team] for pick in expected[:4]]
        assert dict(exposure.experiments) == {KEY: "interleaved"}
        assert exposure.model_version == "1"
        assert exposure.ranks.shape == (4, len(exposure.source_names))
        assert exposure.inputs is not None
        orders.add(exposure.items)
    assert len(orders) > 1


def test_what_a_version_picks_is_described_as_the_model_of_control_ranks_it(world):
    whole = world.drawer.draw([visit_of(world)])[0].slate
    own = {item.item_id: (score, ranks) for item, score, ranks in described_by(whole)}
    interleave(world, b={"version": "2", **POTS})
    answer = asked(world, "eve", numResults=4)
    exposure = world.stored()[0]
    assert (exposure.model_version, answer["model"]["version"]) == ("1", "1")
    assert any(item in exposure.items for item in ("i8", "i9"))
    for item, score, ranks in zip(exposure.items, exposure.scores, exposure.ranks.tolist(), strict=True):
        assert (pytest.approx(score, abs=1e-5), ranks) == own[item]


def described_by(slate):
    return zip(slate.items, (item.score for item in slate.items), slate.found.ranks.tolist(), strict=True)


def visit_of(world, user: str = "eve"):
    return world.service.visit(Request(b"{}"), Visitor(userId=user), "home")


def test_pins_stand_where_they_are_pinned_and_caps_hold(world):
    interleave(world)
    start(world, "short", always={"scenario": {"pin": [{"item_id": "i10", "place": 3}], "max_per_brand": 2}})
    for _ in range(6):
        answer = asked(world, "eve", numResults=4)
        assert answer["arm"] == "pots:interleaved+short:b"
        assert ids(answer)[2] == "i10"
        brands = [int(item[1:]) % 2 for item in ids(answer)]
        assert max(brands.count(0), brands.count(1)) <= 2
    for shown in world.stored():
        assert shown.request[TEAMS][2] is None  # it stands there whatever the draft says
        assert shown.propensities[2] == 1.0


def test_other_experiments_change_both_rankings(world):
    interleave(world)
    start(world, "south", always={"slate": {"max_category_share": 0.9, "depth": 8}})
    answer = asked(world, "eve", numResults=4)
    assert answer["arm"] == "pots:interleaved+south:b"
    assert {each["key"]: each["variant"] for each in answer["experiments"]} == {
        KEY: "interleaved",
        "south": "b",
    }
    assert world.stored()[0].request[TEAMS]


def test_where_one_arm_has_no_version_control_answers_and_nothing_is_counted(world):
    lost = world.register()
    interleave(world, b={"version": lost})
    assert asked(world)["experiments"] == [{"key": KEY, "variant": "interleaved"}]
    world.registry.client.delete_model_version(world.registry.name, lost)
    world.served._table = {name: each for name, each in world.served._table.items() if name == CHAMPION}
    answer = asked(world)
    assert (answer["arm"], answer["experiments"]) == ("champion", [])
    assert TEAMS not in world.stored()[-1].request


def test_what_asks_for_no_ranking_of_everything_is_not_counted(world):
    interleave(world)
    assert world.post("/v1/rank", {"userId": "ann", "itemIds": ["i5", "i1"]}).json()["experiments"] == []
    assert world.call("GET", "/v1/items/i5/similar").json()["experiments"] == []
    assert world.post(ASSIGNMENTS, {"userId": "ann"}).json()["assignments"] == []


def test_what_the_champion_explores_is_no_pick(world):
    world.declared = [Arm(CHAMPION, CHAMPION, SlateSettings(exploration=Exploration(uniform=1.0)))]
    world.check()
    assert min(propensities(world)) < 0.5
    interleave(world)
    assert set(propensities(world)) <= {0.5, 1.0}


def propensities(world) -> list[float]:
    (drawn,) = world.drawer.draw([visit_of(world)])
    return described(drawn, sample_share=0.0, took_ms=1.0).propensities.tolist()


def test_kept_rankings_are_drafted_anew_for_every_answer(make_world):
    world = make_world(cache_seconds=60.0)
    interleave(world)
    slates = {tuple(ids(asked(world, "eve", numResults=6))) for _ in range(20)}
    assert len(slates) > 3


def test_pages_go_on_where_the_one_before_ended(world):
    interleave(world)
    first = asked(world, "eve", numResults=3)
    second = asked(world, "eve", numResults=3, cursor=first["cursor"])
    assert len({*ids(first), *ids(second)}) == 6
    assert world.stored()[1].request[TEAMS]


def test_the_trace_says_which_variant_picked_an_item(world):
    interleave(world)
    answer = asked(world, "eve", numResults=4)
    stored = world.stored()[0]
    trace = world.call("GET", f"/v1/recommendations/{answer['recommendationId']}/trace").json()
    for item, team in zip(trace["items"], stored.request[TEAMS], strict=True):
        assert (f"picked by the variant {team}" in item["words"]) == (team is not None)


def test_a_slate_that_the_models_fill_only_in_part_ends_with_control_lists(world):
    interleave(world)
    answer = asked(world, "eve", numResults=30)
    exposure = world.stored()[0]
    assert len(ids(answer)) == len(set(ids(answer)))
    assert len(exposure.request[TEAMS]) <= len(exposure.items)
    assert np.all(exposure.propensities[len(exposure.request[TEAMS]) :] == 1.0)


def test_clicks_on_what_was_served_are_read_out(world):
    interleave(world, metrics={"primary": "clicks_per_slate", "minimum_effect": 0.1})
    answers = [asked(world, f"u{n}", numResults=4) for n in range(24)]
    for n, (answer, shown) in enumerate(zip(answers, world.stored(), strict=True)):
        place = shown.request[TEAMS].index("usual" if n % 4 == 0 else "b")
        click = {
            "messageId": f"m{n}",
            "type": "click",
            "userId": f"u{n}",
            "itemId": ids(answer)[place],
            "recommendationId": answer["recommendationId"],
        }
        assert world.post("/v1/events", {"batch": [click]}).status_code == 202
    found = read_interleaving_out(world.settings, KEY).preferred
    assert (found.units, found.slates, found.lost, found.won) == (24, 24, 6, 18)
    assert found.draft_p > 0.001
