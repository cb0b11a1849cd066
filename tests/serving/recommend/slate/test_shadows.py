"""Shadows answer what the champion was asked, beside the request, and nobody sees, stores or waits for it."""

import time
from typing import Any

import pytest

from serving.recommend.slate.shadows import Shadows
from tailorbird.experiments.shadow.comparing import Sums
from tailorbird.experiments.shadow.tallies import Tallies
from tests.serving.recommend.slate.test_experiments import asked, start
from tests.slate.toy import RowStages

KEY = "next"
POTS = {"slate": {"rules": {"categories": ["pots"]}}}


def shadow(world, *, key: str = KEY, newer: dict[str, Any] | None = None, **more: Any) -> None:
    start(world, key, kind="shadow", metrics=None, variants={"usual": {}, "newer": newer or POTS}, **more)


def sums(world, key: str = KEY, *, least: int = 1) -> Sums:
    """What was added up, once ``least`` questions were; a shadow answers when it can."""
    deadline = time.monotonic() + 30
    found = Sums()
    while time.monotonic() < deadline:
        found = Sums(*Tallies(world.settings.folder).of(key).sums.sum(axis=0).tolist())
        if found.asked >= least:
            return found
        time.sleep(0.01)
    return found


def test_it_answers_too_and_neither_answer_nor_exposures_know(world):
    before = asked(world, "eve", numResults=4)
    shadow(world)
    answer = asked(world, "eve", numResults=4)
    for name in ("items", "arm", "experiments", "model", "fallback"):
        assert answer[name] == before[name]
    found = sums(world)
    assert (found.asked, found.compared, found.overlap, found.same_first) == (1, 1, 0.0, 0)
    assert found.seconds > 0
    assert found.control_seconds > 0
    stored = world.stored()
    assert [each.recommendation_id for each in stored] == [
        before["recommendationId"],
        answer["recommendationId"],
    ]
    assert not any(each.experiments for each in stored)
    assert "shadow" not in repr([dict(each.request) for each in stored])


def test_a_version_that_ranks_the_same_is_the_same(world):
    shadow(world, newer={"version": "2"})
    for user in ("ann", "bob", "eve"):
        asked(world, user, numResults=4)
    found = sums(world, least=3)
    assert (found.compared, found.overlap, found.same_first, found.correlation) == (3, 3, 3, 3)


def test_a_shadow_that_cannot_answer_costs_nobody_an_answer(world):
    lost = world.register()
    shadow(world, newer={"version": lost})
    world.registry.client.delete_model_version(world.registry.name, lost)
    world.served._table = {name: each for name, each in world.served._table.items() if name == "champion"}
    assert asked(world, numResults=4)["items"]
    assert sums(world).missing == 1


class BrokenStages(RowStages):
    def retrieve(self, *arguments: Any, **more: Any) -> Any:
        raise RuntimeError("broken")


def test_a_shadow_whose_model_breaks_is_counted(world):
    from dataclasses import replace

    shadow(world, newer={"version": "2"})
    arm = world.served.standings()[1]
    world.serve(replace(arm.recommender, stages=BrokenStages()), arm=arm.arm)
    assert asked(world, numResults=4)["items"]
    found = sums(world)
    assert (found.failed, found.compared, found.control_failed) == (1, 0, 0)
    assert world.served.standings()[1].trouble == ""


@pytest.mark.parametrize(
    "context", [{"purposes": {"analytics": False}}, {"purposes": {"personalization": False}}]
)
def test_who_refuses_is_answered_once(world, context):
    shadow(world)
    asked(world, "ann", context=context)
    asked(world, "bob")
    assert sums(world).asked == 1
    assert world.shadowed == [("compared", 1)]


def test_what_other_arms_answer_and_what_is_no_ranking_is_not_asked_again(world):
    shadow(world)
    world.post("/v1/rank", {"userId": "ann", "itemIds": ["i5", "i1"]})
    start(world, "other", variants={"a": {"weight": 1 - 1e-9, "version": "2"}, "b": {"weight": 1e-9}})
    assert asked(world, "ann")["arm"] == "other:a"
    world.post("/v1/assignments", {"userId": "ann"})
    time.sleep(0.1)
    assert world.shadowed == []


def test_a_share_of_the_people_is_shadowed_whole(world):
    shadow(world, share=0.3)
    for n in range(60):
        asked(world, f"u{n}")
        asked(world, f"u{n}")
    time.sleep(0.2)
    found = sums(world)
    dropped = Tallies(world.settings.folder).of(KEY).dropped
    assert 16 <= found.asked + dropped <= 60
    assert (found.asked + dropped) % 2 == 0


def test_a_busy_shadow_drops_and_counts_what_it_cannot_answer(world):
    shadow(world)
    world.shadows.close()
    idle = Shadows(world.served, Tallies(world.settings.folder), capacity=2, pause_seconds=30.0)
    world.service._answered = idle.offer
    for _ in range(5):
        asked(world, "eve")
    idle.close()
    found = Tallies(world.settings.folder).of(KEY)
    assert found.dropped == 3
    assert found.sums[:, Sums._fields.index("asked")].sum() == 0


def test_what_cannot_be_written_waits(world):
    shadow(world)
    path = Tallies(world.settings.folder).path
    path.mkdir()
    asked(world, "eve")
    deadline = time.monotonic() + 30
    while not world.shadowed and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    path.rmdir()
    assert sums(world).asked == 1
