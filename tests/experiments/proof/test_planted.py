"""What is planted is found by the readout, and what is not there is not called (a small sample; `bench statistics` has the large one)."""

import pytest

from tailorbird.experiments.proof.planted import Planted, planted_trials
from tailorbird.experiments.proof.resplits import METRICS, resplit_trials
from tests.proving import PROVING


@pytest.fixture(scope="module")
def found() -> Planted:
    return planted_trials(trials=1_000 if PROVING else 50, units=4_000 if PROVING else 3_000)


def test_effects_that_wear_off_differ_by_segment_or_need_each_other_are_found(found: Planted) -> None:
    assert found.novelty_found > 0.9
    assert found.segments_found > 0.5
    assert found.interaction_found > 0.9


def test_what_is_not_there_is_called_as_seldom_as_it_should_be(found: Planted) -> None:
    # of 50 trials at 5 % ten or more have a chance of 1 in 10,000, of 1,000 eighty or more less than that
    for share in (
        found.novelty_false,
        found.segments_false,
        found.interaction_false,
        found.ratio_false_while_looking,
    ):
        assert share < (80 / 1_000 if PROVING else 10 / 50)


def test_shrunk_intervals_of_segments_cover_what_was_planted(found: Planted) -> None:
    assert min(found.segments_covered.values()) > (0.94 if PROVING else 0.9)
    assert found.segments_covered["15"] < (0.96 if PROVING else 1.0)


def test_our_own_metrics_call_nothing_that_is_not_there() -> None:
    found = resplit_trials(worlds=1, trials=100, size=400)
    assert list(found.called) == METRICS
    assert max(found.called.values()) <= 0.14  # of 100 at 5 %: fifteen have a chance of 1 in 10,000
    assert found.variance_saved["active_days"] > 0.1
