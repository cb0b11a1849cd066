"""The union of the sources' lists."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tailorbird.models.hybrid.shortlist import merge, proposals, signals_of
from tailorbird.models.retrievers.best import best


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


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0]), min_size=1, max_size=30), st.integers(0, 40))
def test_the_best_are_the_largest_and_never_minus_infinity(values: list[float], k: int) -> None:
    scores = np.array(values, np.float32)
    expected = np.sort(scores[np.isfinite(scores)])[::-1][:k]
    found = best(scores[None], k)
    assert found.rows.shape == (1, k)
    np.testing.assert_array_equal(found.scores[0][found.rows[0] >= 0], expected)


def _sorted_proposals(scores: np.ndarray, allowed: np.ndarray, k: int) -> np.ndarray:
    """What :func:`proposals` must find, by sorting."""
    rows = np.flatnonzero(allowed & (scores != 0) & (scores > -np.inf))
    return rows[np.argsort(-scores[rows], kind="stable")][:k]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([np.nan, -np.inf, -3.0, -0.0, 0.0, 1e-30, 0.5, 2.0, np.inf]), max_size=40),
    st.integers(0, 50),
    st.integers(0, 2**40 - 1),
)
def test_proposals_are_the_best_allowed_rows_that_have_something_to_say(
    values: list[float], k: int, mask: int
) -> None:
    scores = np.array(values, np.float32)
    allowed = np.array([mask >> row & 1 for row in range(len(values))], bool)
    np.testing.assert_array_equal(proposals(scores, allowed, k), _sorted_proposals(scores, allowed, k))


def test_proposals_of_large_catalogues_are_those_that_sorting_finds() -> None:
    rng = np.random.default_rng(5)
    dense = rng.normal(size=9_000).astype(np.float32)
    worlds = {
        "dense": dense,
        "sparse": np.where(rng.random(9_000) < 0.12, dense, 0).astype(np.float32),
        "few": np.where(np.arange(9_000) % 1_000 == 0, 1 + np.abs(dense), -np.inf).astype(np.float32),
        "steps": np.repeat(np.arange(90, dtype=np.float32), 100),
        "equal": np.ones(9_000, np.float32),
        "best where the sample does not look": np.where(np.arange(9_000) % 17 == 16, dense + 9, dense),
        "best where the sample looks": np.where(np.arange(9_000) % 17 == 0, dense + 9, dense),
        "negative": -np.abs(dense),
    }
    allowed = rng.random(9_000) < 0.9
    for name, scores in worlds.items():
        for k in (1, 20, 200, 455, 9_000):
            expected = _sorted_proposals(scores.astype(np.float32), allowed, k)
            np.testing.assert_array_equal(proposals(scores.astype(np.float32), allowed, k), expected, name)
