"""What the benchmark of segments times: a model and histories that are assigned, each whole."""

import numpy as np

from serving.bench.answers.segments import GROUPS, PERSON, _state, model_of_size, timed
from tailorbird.segments.belonging import PromotedSegments


def test_its_people_are_assigned_and_not_all_alike() -> None:
    rng = np.random.default_rng(7)
    promoted = PromotedSegments("1", model_of_size(rng))
    found = [promoted.belonging(_state(rng, 128), PERSON) for _ in range(40)]
    assert len({each.key for each in found}) > 1
    assert all(len(each.assigned.memberships) == GROUPS for each in found)


def test_a_figure_is_of_so_many_assignments() -> None:
    promoted = PromotedSegments("1", model_of_size(np.random.default_rng(7)))
    figures = timed(promoted, count=400, events=16, seed=7)
    assert 0 < figures["assignment_us"] <= figures["assignment_p95_us"]  # type: ignore[operator]
    assert 0 < figures["features_us"] < 1_000 * figures["assignment_us"]  # type: ignore[operator]
    assert (figures["assignments"], figures["events"]) == (400, 16)
