"""The shortlist: what the sources propose together, each candidate remembering who proposed it and at which place."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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


def top_rows(scores: np.ndarray, k: int) -> np.ndarray:
    """(≤ k,) int64 rows of the highest of ``scores`` (n,), best first; -inf is never among them."""
    n = len(scores)
    if k < n:
        chosen = np.argpartition(scores, n - k)[n - k :] if k > 0 else np.zeros(0, np.int64)
    else:
        chosen = np.arange(n)
    values = scores[chosen]
    chosen = chosen[np.argsort(-values, kind="stable")]
    return chosen[: len(values) - int(np.isneginf(values).sum())]


def merge(lists: Sequence[np.ndarray], shares: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Unite the sources' lists (rows, best first): ``k`` rows (c,) and their ranks (c, s).

    Sources take turns in proportion to their ``shares`` (s,); a row counts at its best turn.
    """
    sizes = np.array([len(rows) for rows in lists])
    rows = np.concatenate([np.zeros(0, np.int64), *lists]).astype(np.int64)
    source = np.repeat(np.arange(len(lists)), sizes)
    rank = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    turn = np.argsort((rank + 1) / shares[source], kind="stable")
    distinct, first = np.unique(rows[turn], return_index=True)  # ascending rows, place of their best turn
    kept = np.sort(np.argsort(first, kind="stable")[:k])  # still ascending by row
    chosen = distinct[kept]
    ranks = np.full((len(chosen), len(lists)), -1, np.int32)
    if len(chosen):
        where = np.minimum(np.searchsorted(chosen, rows), len(chosen) - 1)
        held = chosen[where] == rows
        ranks[where[held], source[held]] = rank[held]
    order = np.argsort(first[kept], kind="stable")
    return chosen[order], ranks[order]


def signals_of(scores: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """(c, 3 * s) float32 from the candidates' ``scores`` (c, s) by each source and their ``ranks`` (c, s)."""
    z = np.zeros(scores.shape, np.float32)
    if len(scores):
        finite = np.where(np.isfinite(scores), scores, 0.0)
        spread = finite.std(axis=0)
        np.divide(finite - finite.mean(axis=0), spread, out=z, where=spread > 1e-9)
    proposed = ranks >= 0
    reciprocal = np.where(proposed, 1.0 / (ranks + 1.0 + ~proposed), 0.0)
    return np.concatenate([z, reciprocal, proposed], axis=1, dtype=np.float32, casting="unsafe")
