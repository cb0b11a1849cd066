"""The shortlist: what the sources propose together, each candidate remembering who proposed it and at which place."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tailorbird.models.allowed import NO_ROWS
from tailorbird.plumbing.compiled import compiled

SIGNALS = 3
"""Columns per source: z-score among the candidates, reciprocal rank, 1 if the source proposed it."""


@dataclass(frozen=True)
class Shortlist:
    """Candidates of one request.

    ``rows`` (c,) int64 catalogue rows, each once; ``ranks`` (c, s) int32 place in each source's list, 0 the best, -1
    where the source did not propose it; ``signals`` (c, 3 * s) float32, what the ranker reads of the sources.
    """

    rows: np.ndarray
    ranks: np.ndarray
    signals: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def where(self, keep: np.ndarray) -> "Shortlist":
        """Keep the candidates of a boolean mask or an index array."""
        return Shortlist(self.rows[keep], self.ranks[keep], self.signals[keep])


def merge(lists: Sequence[np.ndarray], shares: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Unite the sources' lists (rows, best first): ``k`` rows (c,) and their ranks (c, s).

    Sources take turns in proportion to their ``shares`` (s,), the first of them where two are even; a row counts at
    its best turn.
    """
    ends = np.cumsum(np.array([len(rows) for rows in lists], np.int64))
    chosen, ranks = _merged(np.concatenate([NO_ROWS, *lists]), ends, shares, k)
    return chosen, ranks


@compiled
def _merged(
    proposed: np.ndarray, ends: np.ndarray, shares: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    sources, total = len(ends), len(proposed)
    order = np.argsort(proposed)
    same = np.empty(total, np.int64)  # one number for all places that propose the same row
    for at in range(total):
        again = at > 0 and proposed[order[at]] == proposed[order[at - 1]]
        same[order[at]] = same[order[at - 1]] if again else order[at]
    place = np.full(total, -1, np.int64)  # of each row among the chosen
    chosen = np.empty(max(0, min(k, total)), np.int64)
    heads = np.zeros(sources, np.int64)
    heads[1:] = ends[:-1]
    starts = heads.copy()
    count = 0
    while count < len(chosen):
        source, turn = -1, np.inf
        for each in range(sources):
            here = (heads[each] - starts[each] + 1.0) / shares[each]
            if heads[each] < ends[each] and here < turn:
                source, turn = each, here
        if source < 0:
            break
        head = heads[source]
        heads[source] += 1
        if place[same[head]] < 0:
            place[same[head]] = count
            chosen[count] = proposed[head]
            count += 1
    ranks = np.full((count, sources), -1, np.int32)
    for source in range(sources):
        for at in range(starts[source], ends[source]):
            if place[same[at]] >= 0:
                ranks[place[same[at]], source] = at - starts[source]
    return chosen[:count], ranks


@compiled
def signals_of(scores: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """(c, 3 * s) float32 from the candidates' ``scores`` (c, s) by each source and their ``ranks`` (c, s)."""
    count, sources = scores.shape
    signals = np.zeros((count, SIGNALS * sources), np.float32)
    for source in range(sources):
        total = squares = 0.0
        for at in range(count):
            total += scores[at, source]
        mean = total / count
        for at in range(count):
            squares += (scores[at, source] - mean) ** 2
        spread = np.sqrt(squares / count)
        for at in range(count):
            if spread > 1e-7:
                signals[at, source] = (scores[at, source] - mean) / spread
            if ranks[at, source] >= 0:
                signals[at, sources + source] = 1.0 / (ranks[at, source] + 1.0)
                signals[at, 2 * sources + source] = 1.0
    return signals
