"""The shortlist: what the sources propose together, each candidate remembering who proposed it and at which place."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tailorbird.plumbing.compiled import compiled

SIGNALS = 3
"""Columns per source: z-score among the candidates, reciprocal rank, 1 if the source proposed it."""

SAMPLE = 512
"""Scores from which :func:`proposals` guesses how high the best ones are."""

NO_ROWS = np.zeros(0, np.int64)


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


@compiled
def proposals(scores: np.ndarray, allowed: np.ndarray, k: int) -> np.ndarray:
    """(≤ k,) int64 rows with the highest ``scores`` (n,) float32 among those ``allowed`` (n,) bool, best first.

    Of equal scores the lower row comes first. A score of exactly zero, -inf or NaN says nothing for its row. A sample
    guesses the score that somewhat more than ``k`` exceed, only those are put in order; a guess too high is lowered.
    Nothing here branches on a score, which a processor could not foresee.
    """
    size, n = max(0, min(k, len(scores))), len(scores)
    sample = scores[:: max(1, n // SAMPLE)].copy()
    order = _descending(sample)
    place = min(len(sample), 8 + 5 * size * len(sample) // max(1, 4 * n))
    rows = np.empty(n, np.int64)
    while True:
        floor = sample[order[place]] if place < len(sample) else np.float32(-np.inf)
        count = 0
        for row in range(n):
            rows[count] = row
            count += (scores[row] > floor) & (scores[row] != 0.0) & allowed[row]
        if count >= size or place >= len(sample):
            break
        place *= 2
    found = rows[:count]
    return found[_descending(scores[found])[:size]]


@compiled
def _descending(values: np.ndarray) -> np.ndarray:
    """(n,) places of float32 ``values``, the highest first, equal ones as they stand: a radix sort, NaN somewhere."""
    bits = values.view(np.uint32)
    keys, order = np.empty(len(bits), np.uint32), np.arange(len(bits))
    for i in range(len(bits)):  # bits that count downwards where the number counts upwards
        keys[i] = bits[i] if bits[i] >> np.uint32(31) else bits[i] ^ np.uint32(0x7FFFFFFF)
    for shift in range(0, 32, 8):
        starts = np.zeros(257, np.int64)
        for place in order:
            starts[1 + ((keys[place] >> np.uint32(shift)) & np.uint32(255))] += 1
        for digit in range(256):
            starts[digit + 1] += starts[digit]
        fresh = np.empty_like(order)
        for place in order:
            digit = (keys[place] >> np.uint32(shift)) & np.uint32(255)
            fresh[starts[digit]] = place
            starts[digit] += 1
        order = fresh
    return order


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
    place = np.full(proposed.max() + 1 if total else 0, -1, np.int32)  # of each row among the chosen
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
        row = proposed[heads[source]]
        heads[source] += 1
        if place[row] < 0:
            place[row] = count
            chosen[count] = row
            count += 1
    ranks = np.full((count, sources), -1, np.int32)
    for source in range(sources):
        for at in range(starts[source], ends[source]):
            if place[proposed[at]] >= 0:
                ranks[place[proposed[at]], source] = at - starts[source]
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
