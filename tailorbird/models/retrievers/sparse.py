"""Sources that have something to say for few items only: those linked to a history, gathered from their sparse rows."""

import threading

import numpy as np

from tailorbird.models.allowed import Allowed
from tailorbird.models.retrievers.best import best_of_some
from tailorbird.plumbing.compiled import compiled


class SparseScores:
    """Scores of few rows, every other item's is zero: what one request asks of a sparse source.

    ``rows`` (m,) int64, each once, with their ``scores`` (m,) float32.
    """

    def __init__(self, rows: np.ndarray, scores: np.ndarray) -> None:
        self.rows, self.scores = rows, scores

    def best(self, k: int, allowed: Allowed) -> np.ndarray:
        """The best of those that the source has something to say for."""
        return best_of_some(self.rows, self.scores, allowed.blocked.code, allowed.few, k)

    def score(self, rows: np.ndarray) -> np.ndarray:
        """Scores of given items; 0 where the source is silent."""
        return _looked_up(rows, self.rows, self.scores)


class Scratch(threading.local):
    """Zeros as long as the catalogue, once a thread: who adds to them leaves zeros behind."""

    def __init__(self) -> None:
        self._zeros = np.zeros(0, np.float32)

    def zeros(self, count: int) -> np.ndarray:
        """(count,) float32 zeros."""
        if len(self._zeros) != count:
            self._zeros = np.zeros(count, np.float32)
        return self._zeros


@compiled
def linked(
    items: np.ndarray,
    weights: np.ndarray,
    indptr: np.ndarray,
    indices: np.ndarray,
    links: np.ndarray,
    zeros: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Add up the sparse rows of ``items`` (h,), each times its weight (h,) float32, in that order.

    Returns the rows (m,) int64 whose sum is not zero, as they are met, and their sums (m,) float32. ``zeros`` (n,) is
    written to, and zero again afterwards.
    """
    total = 0
    for item in items:
        total += indptr[item + 1] - indptr[item]
    rows, count = np.empty(total, np.int64), 0
    for lag in range(len(items)):
        weight = weights[lag]
        for at in range(indptr[items[lag]], indptr[items[lag] + 1]):
            row = indices[at]
            if (
                zeros[row] == 0.0
            ):  # a sum that came back to zero is met a second time: the loop below drops it
                rows[count] = row
                count += 1
            zeros[row] += weight * links[at]
    scores, kept = np.empty(count, np.float32), 0
    for place in range(count):
        row = rows[place]
        if zeros[row] != 0.0:
            rows[kept], scores[kept] = row, zeros[row]
            zeros[row] = 0.0
            kept += 1
    return rows[:kept], scores[:kept]


@compiled
def _looked_up(wanted: np.ndarray, rows: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The scores of ``wanted`` (c,) rows among ``rows`` (m,): these pass by a small table of those, open addressing."""
    size = 16
    while size < 4 * len(wanted):
        size *= 2
    table, mask = np.full(size, -1, np.int32), size - 1
    following = np.full(len(wanted), -1, np.int32)  # of one row that is wanted twice
    found = np.zeros(len(wanted), np.float32)
    for place in range(len(wanted)):
        slot = (wanted[place] * 2_654_435_761) >> 12 & mask  # Knuth's multiplicative hash
        while table[slot] >= 0 and wanted[table[slot]] != wanted[place]:
            slot = (slot + 1) & mask
        following[place], table[slot] = table[slot], place
    for at in range(len(rows)):
        slot = (rows[at] * 2_654_435_761) >> 12 & mask
        while table[slot] >= 0:
            if wanted[table[slot]] == rows[at]:
                place = table[slot]
                while place >= 0:
                    found[place] = scores[at]
                    place = following[place]
                break
            slot = (slot + 1) & mask
    return found
