"""The best few of many scores: found in three ways, each as by sorting."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tailorbird.models.retrievers.best import best_of_all, best_of_some, first_allowed


def _by_sorting(scores: np.ndarray, allowed: np.ndarray, k: int) -> np.ndarray:
    """What each way must find, by sorting."""
    rows = np.flatnonzero(allowed & (scores != 0) & (scores > -np.inf))
    return rows[np.argsort(-scores[rows], kind="stable")][:k]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([np.nan, -np.inf, -3.0, -0.0, 0.0, 1e-30, 0.5, 2.0, np.inf]), max_size=40),
    st.integers(0, 50),
    st.integers(0, 2**40 - 1),
)
def test_the_best_are_the_highest_allowed_rows_that_have_something_to_say(
    values: list[float], k: int, mask: int
) -> None:
    scores = np.array(values, np.float32)
    allowed = np.array([mask >> row & 1 for row in range(len(values))], bool)
    _check(scores, allowed, k)


def test_of_large_catalogues_the_best_are_those_that_sorting_finds() -> None:
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
    for scores in worlds.values():
        for k in (1, 20, 200, 455, 9_000):
            _check(scores.astype(np.float32), allowed, k)


def _check(scores: np.ndarray, allowed: np.ndarray, k: int) -> None:
    expected = _by_sorting(scores, allowed, k)
    np.testing.assert_array_equal(best_of_all(scores, allowed, k), expected)
    rows = np.random.default_rng(1).permutation(len(scores))
    few = np.flatnonzero(~allowed)[::2]
    code = (~allowed).astype(np.uint8)
    code[few] = 0
    np.testing.assert_array_equal(best_of_some(rows, scores[rows], code, few, k), expected)
    ordered = _by_sorting(scores, np.ones(len(scores), bool), len(scores))
    np.testing.assert_array_equal(first_allowed(ordered, code, few, k), expected)
