"""The benchmark of planted behaviours: one small shop, whose figures are what their names promise."""

import numpy as np
import pytest

from training.benchmarks.planted import SETTLED, _moves, measure_planted


def test_there_and_back_counts_only_where_both_happen_within_a_quarter_of_an_hour() -> None:
    early = np.zeros(SETTLED, np.int64)
    times = np.arange(SETTLED + 6) * 60.0
    labels = np.concatenate([early, [0, 1, 0, 0, 1, 1]])
    assert _moves(labels, times) == (3, 2)
    assert _moves(labels, times * 100) == (3, 0)
    assert _moves(np.concatenate([early + 1, [1] * 6]), times) == (0, 0)


@pytest.mark.slow
def test_a_small_shop_is_measured_beside_those_who_know() -> None:
    found = measure_planted(1_000, seed=7)
    assert 0.3 < found.found < found.oracle <= 1.0
    assert 3 <= found.groups <= 12
    assert found.oscillations * 5 < found.oscillations_unsmoothed
    assert 0.0 <= found.alarmed < 0.6
