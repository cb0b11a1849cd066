"""Values by row are the same whether they were kept or made anew."""

import numpy as np

from tailorbird.models.hybrid.rows import RowCache

KEPT = 50


def doubled(rows: np.ndarray) -> np.ndarray:
    return np.stack([rows, 2.0 * rows], axis=1).astype(np.float32)


class Counting:
    """Makes values and counts for how many rows."""

    def __init__(self) -> None:
        self.rows = 0

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        self.rows += len(rows)
        return doubled(rows)


def test_values_are_right_however_many_rows_came_by() -> None:
    rng, cache = np.random.default_rng(0), RowCache(1_000, doubled, kept=KEPT)
    for size in (0, 1, 30, 30, 30, 49, 50, 51, 400, 7):
        rows = rng.integers(0, 1_000, size)  # some of them twice
        np.testing.assert_array_equal(cache.take(rows), doubled(rows))


def test_what_is_kept_is_not_made_again() -> None:
    make = Counting()
    cache = RowCache(1_000, make, kept=KEPT)
    for _ in range(3):
        cache.take(np.arange(40))
    assert make.rows == 40
    cache.take(np.arange(100, 140))  # no room for both
    assert make.rows == 80
    cache.take(np.arange(100, 140))
    assert make.rows == 80


def test_a_grown_cache_knows_what_was_kept() -> None:
    make = Counting()
    cache = RowCache(10, doubled, kept=KEPT)
    cache.take(np.arange(10))
    grown = cache.grown(12, make)
    np.testing.assert_array_equal(grown.take(np.arange(12)), doubled(np.arange(12)))
    assert make.rows == 2
