"""The shortlist: what the sources propose together, each candidate remembering who proposed it and at which place."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SIGNALS = 3
"""Columns per source: z-score among the candidates, reciprocal rank, 1 if the source proposed it."""

NO_ROWS = np.zeros(0, np.int64)
_PLACES = np.arange(1024)


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
    sizes = [len(rows) for rows in lists]
    rows = np.concatenate([NO_ROWS, *lists])
    if not len(rows):
        return NO_ROWS, np.zeros((0, len(lists)), np.int32)
    rank = np.concatenate([NO_ROWS, *(_places(size) for size in sizes)])
    turn = (rank + 1.0) / np.repeat(shares, sizes)
    ordered = rows[np.argsort(turn, kind="stable")]  # sorted runs: a stable sort only merges them
    places = _places(len(rows))
    first = np.empty(int(rows.max()) + 1, np.int64)  # read only where written: at the rows of the lists
    first[ordered[::-1]] = places[::-1]  # written backwards, so the best turn stays
    chosen = ordered[first[ordered] == places][:k]
    place = first
    place[rows] = -1
    place[chosen] = places[: len(chosen)]
    ranks = np.full((len(chosen), len(lists)), -1, np.int32)
    for source, listed in enumerate(lists):
        where = place[listed]
        held = np.flatnonzero(where >= 0)
        ranks[where[held], source] = held
    return chosen, ranks


def _places(count: int) -> np.ndarray:
    return _PLACES[:count] if count <= len(_PLACES) else np.arange(count)


def signals_of(scores: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """(c, 3 * s) float32 from the candidates' ``scores`` (c, s) by each source and their ``ranks`` (c, s)."""
    count, sources = scores.shape
    signals = np.zeros((count, SIGNALS * sources), np.float32)
    if not count:
        return signals
    centred = scores - scores.mean(axis=0)
    spread = np.sqrt(np.einsum("cs,cs->s", centred, centred) / count)
    np.divide(centred, spread, out=signals[:, :sources], where=spread > 1e-7)
    proposed = signals[:, 2 * sources :]
    np.greater_equal(ranks, 0, out=proposed, casting="unsafe")
    np.divide(proposed, ranks + 1, out=signals[:, sources : 2 * sources], where=ranks >= 0)
    return signals
