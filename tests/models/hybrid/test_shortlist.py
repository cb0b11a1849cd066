"""The union of the sources' lists."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tailorbird.models.hybrid.shortlist import merge, signals_of


def _rows(*rows: int) -> np.ndarray:
    return np.array(rows, np.int64)


def test_sources_take_turns_by_their_shares() -> None:
    rows, ranks = merge([_rows(1, 2, 3, 4), _rows(11, 12, 13)], np.array([1.0, 0.5]), 5)
    assert rows.tolist() == [1, 2, 11, 3, 4]  # two of the first source for one of the second
    assert ranks.tolist() == [[0, -1], [1, -1], [-1, 0], [2, -1], [3, -1]]


def test_an_item_of_two_sources_stands_once_and_remembers_both() -> None:
    rows, ranks = merge([_rows(7, 8), _rows(8, 9)], np.array([1.0, 1.0]), 10)
    assert rows.tolist() == [7, 8, 9]
    assert ranks.tolist() == [[0, -1], [1, 0], [-1, 1]]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 15), unique=True, max_size=8), min_size=1, max_size=4),
    st.integers(0, 12),
)
def test_a_shortlist_holds_distinct_proposals_and_their_true_places(lists: list[list[int]], k: int) -> None:
    rows, ranks = merge([_rows(*each) for each in lists], np.ones(len(lists)), k)
    proposed = set().union(*map(set, lists))
    assert len(rows) == len(set(rows.tolist())) == min(k, len(proposed))
    for row, places in zip(rows.tolist(), ranks.tolist(), strict=True):
        assert places == [each.index(row) if row in each else -1 for each in lists]
    left_out = proposed - set(rows.tolist())
    worst = max((min(p for p in places if p >= 0) for places in ranks.tolist()), default=0)
    assert all(min(each.index(row) for each in lists if row in each) >= worst for row in left_out)


def test_signals_are_z_scores_reciprocal_ranks_and_marks() -> None:
    scores = np.array([[1.0, 5.0], [3.0, 5.0]], np.float32)
    signals = signals_of(scores, np.array([[1, -1], [0, 2]], np.int32))
    np.testing.assert_allclose(signals[0], [-1, 0, 1 / 2, 0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(signals[1], [1, 0, 1, 1 / 3, 1, 1], atol=1e-6)


def test_no_candidates_have_no_signals() -> None:
    assert signals_of(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32)).shape == (0, 9)
