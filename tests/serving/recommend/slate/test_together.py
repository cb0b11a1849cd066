"""Arms that share a version share its work, and each request is answered as if its arm had been asked alone."""

import numpy as np
import pytest

from serving.http.front import Request
from serving.http.schemas import Visitor
from tailorbird.experiments.arm import CHAMPION, Arm, SlateSettings
from tailorbird.slate.exploration import Exploration
from tailorbird.slate.query import Rules
from tests.serving.recommend.arms.test_arms import WatchingStages, watching
from tests.serving.recommend.slate.test_interleaving import interleave
from tests.serving.world import PLAIN

ARMS = [
    Arm(
        f"arm-{n}",
        CHAMPION,
        SlateSettings(
            depth=3 + n % 7,
            max_category_share=(0.2, 0.5, 1.0)[n % 3],
            keep_seen=bool(n % 2),
            rules=Rules(categories=("pots", "cups")) if n % 4 == 1 else Rules(),
            exploration=Exploration(uniform=0.3, softmax=0.3, newcomers=0.2) if n % 5 == 2 else Exploration(),
        ),
    )
    for n in range(20)
]
PEOPLE = ("ann", "bea", "cat", "eve")


@pytest.fixture
def twenty(make_world):
    """Twenty arms of one version, whose model notes whom it was asked for; ``kept`` seconds of the result cache."""

    def make(*, kept: float = 0.0):
        world = make_world(cache_seconds=kept)
        world.builder.change = watching
        world.declared = [PLAIN, *ARMS]
        world.point("2")
        world.check()
        WatchingStages.calls.clear()
        return world

    return make


def visits(world):
    """One of each arm, by four people in turn."""
    made = []
    for n, arm in enumerate([PLAIN, *ARMS]):
        visit = world.service.visit(Request(b"{}"), Visitor(userId=PEOPLE[n % len(PEOPLE)]), "home")
        made.append(visit._replace(arm=arm.name, wishes={"k": 4}, key=b"asked"))
    return made


def same(drawn, alone):
    assert drawn.slate.items == alone.slate.items
    assert drawn.slate.removed == alone.slate.removed
    assert (drawn.visit.arm, drawn.fallback) == (alone.visit.arm, alone.fallback)
    assert (drawn.slate.propensities is None) == (alone.slate.propensities is None)
    if drawn.slate.propensities is not None:
        np.testing.assert_array_equal(drawn.slate.propensities, alone.slate.propensities)
    np.testing.assert_array_equal(drawn.slate.user_vector, alone.slate.user_vector)
    np.testing.assert_array_equal(drawn.slate.found.ranks, alone.slate.found.ranks)


def test_twenty_arms_of_a_version_are_asked_at_once_and_answer_as_each_alone(twenty):
    world = twenty()
    together = visits(world)
    drawn = world.drawer.draw(together)
    assert WatchingStages.calls == [len(ARMS) + 1]
    for visit, each in zip(together, drawn, strict=True):
        same(each, world.drawer.draw([visit])[0])
    assert sum(each.slate.propensities is not None for each in drawn) == 4
    assert len({tuple(item.item_id for item in each.slate.items) for each in drawn}) > 2


def test_arms_of_two_versions_are_asked_version_by_version(twenty):
    world = twenty()
    world.declared = [*world.declared, Arm("other", "other")]
    world.point("3", "other")
    world.check()
    WatchingStages.calls.clear()
    together = visits(world)
    together[3] = together[3]._replace(arm="other")
    drawn = world.drawer.draw(together)
    assert sorted(WatchingStages.calls) == [1, len(ARMS)]
    assert [each.slate.model_version for each in drawn] == ["2"] * 3 + ["3"] + ["2"] * 17
    for visit, each in zip(together, drawn, strict=True):
        same(each, world.drawer.draw([visit])[0])


def test_an_interleaving_among_others_is_drafted_as_if_it_came_alone(twenty):
    world = twenty()
    interleave(world)
    WatchingStages.calls.clear()
    together = visits(world)
    drawn = world.drawer.draw(together)
    assert WatchingStages.calls == [2 * (len(ARMS) + 1)]  # everybody is in it, and it takes two rankings
    for visit, each in zip(together, drawn, strict=True):
        (alone,) = world.drawer.draw([visit])
        same(each, alone)
        assert each.slate.teams == alone.slate.teams


def test_a_kept_ranking_is_of_all_arms_that_rank_alike(twenty):
    world = twenty(kept=10.0)
    ann = world.service.visit(Request(b"{}"), Visitor(userId="ann"), "home")._replace(
        wishes={"k": 4}, key=b"asked"
    )
    alike = [
        ann._replace(arm=each) for each in ("arm-0", "arm-14")
    ]  # another share of a category, and depth 3
    fresh = [each.slate.items for each in twenty().drawer.draw(alike)]
    WatchingStages.calls.clear()
    (first,) = world.drawer.draw(alike[:1])
    (second,) = world.drawer.draw(alike[1:])
    assert WatchingStages.calls == [1]
    assert [first.slate.items, second.slate.items] == fresh
    for other in ("arm-1", "arm-7"):  # other rules, or the seen may return
        world.drawer.draw([ann._replace(arm=other)])
    assert WatchingStages.calls == [1, 1, 1]
