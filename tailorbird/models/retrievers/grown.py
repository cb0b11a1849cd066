"""An index that takes additions and changes: the main one stays as it is, what came since lies beside it and is scored exactly."""

from functools import cached_property
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np

from tailorbird.models.allowed import Allowed, Blocked
from tailorbird.models.base import Asked
from tailorbird.models.retrievers.best import best_of_some
from tailorbird.models.retrievers.index import VectorIndex

MOST_BESIDE = 8_192
"""Rows that lie beside the main index before they are taken into a new one: to score them takes a tenth of a millisecond."""
MOVED = 255
"""The code of a row of the main index whose vector holds no more."""


class GrownIndex(VectorIndex):
    """A ``main`` index of the first rows, and ``beside`` (m, d) the vectors of ``rows`` (m,) int64, ascending, each once.

    Rows of the main index among ``rows`` have moved: what it says of them does not count.
    """

    def __init__(self, main: VectorIndex, rows: np.ndarray, beside: np.ndarray, *, count: int) -> None:
        self.main, self.rows, self.beside = main, rows, beside
        self.search, self._count = main.search, count
        self._moved = rows[rows < len(main)]
        self._without_moved: WeakKeyDictionary[Blocked, Blocked] = WeakKeyDictionary()

    @classmethod
    def of(cls, index: VectorIndex, rows: np.ndarray, vectors: np.ndarray, *, count: int) -> "GrownIndex":
        """``index`` over ``count`` items of which ``rows`` (m,), each once, have ``vectors`` (m, d); new rows without one have zeros."""
        main = index.main if isinstance(index, GrownIndex) else index
        held = index.rows if isinstance(index, GrownIndex) else rows[:0]
        kept = ~np.isin(held, rows)
        beside = [vectors, index.beside[kept]] if isinstance(index, GrownIndex) else [vectors]
        together = np.concatenate([rows, held[kept]]).astype(np.int64)
        order = np.argsort(together)
        lying = np.ascontiguousarray(np.concatenate(beside)[order], np.float32)
        return cls(main, together[order], lying, count=count)

    def __len__(self) -> int:
        return self._count

    @property
    def crowded(self) -> bool:
        """Whether so much lies beside the main index that a new one should take it in."""
        return len(self.rows) > MOST_BESIDE

    def joined(self) -> VectorIndex:
        """One main index of everything. Takes seconds where the catalogue is large; this one goes on answering."""
        vectors = self.vectors
        if self.main.search.whole:
            return VectorIndex(vectors, self.main.search)
        return self.main.exchanged(vectors, out=self._moved, into=self.rows)

    @cached_property
    def vectors(self) -> np.ndarray:  # type: ignore[override]  # made where it is asked for: no request does
        """(n_items, d) float32 all vectors together."""
        whole = np.zeros((self._count, self.main.vectors.shape[1]), np.float32)
        whole[: len(self.main)] = self.main.vectors
        whole[self.rows] = self.beside
        return whole

    def take(self, rows: np.ndarray) -> np.ndarray:
        """(c, d) the vectors of ``rows`` (c,)."""
        places, hits = self._places(rows)
        found = np.zeros((len(rows), self.main.vectors.shape[1]), np.float32)
        old = ~hits & (rows < len(self.main))
        found[old] = self.main.vectors[rows[old]]
        found[hits] = self.beside[places[hits]]
        return found

    def ask(self, queries: np.ndarray) -> list[Asked]:
        """What ``queries`` (b, d) ask, one request each."""
        near = queries @ self.beside.T  # (b, m)
        return [_GrownAsked(self, asked, near[row]) for row, asked in enumerate(self.main.ask(queries))]

    def save(self, folder: Path) -> None:
        """Write everything as one index."""
        self.joined().save(folder)

    def allowed_of_main(self, allowed: Allowed) -> Allowed:
        """What may be proposed of the rows that have not moved."""
        if not len(self._moved):
            return Allowed(allowed.blocked, allowed.few[allowed.few < len(self.main)])
        blocked = self._without_moved.get(allowed.blocked)
        if blocked is None:
            code = allowed.blocked.code[: len(self.main)].copy()
            code[self._moved[self._moved < len(code)]] = MOVED
            blocked = self._without_moved[allowed.blocked] = Blocked(code)
        few = allowed.few[allowed.few < len(blocked)]
        return Allowed(blocked, few[blocked.code[few] == 0])

    def _places(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(c,) where ``rows`` lie beside, and (c,) whether they do."""
        places = np.minimum(np.searchsorted(self.rows, rows), max(0, len(self.rows) - 1))
        return places, self.rows[places] == rows if len(self.rows) else np.zeros(len(rows), bool)


class _GrownAsked:
    """One request's question to the main index, and the scores ``near`` (m,) of what lies beside."""

    def __init__(self, index: GrownIndex, asked: Asked, near: np.ndarray) -> None:
        self._index, self._asked, self._near = index, asked, near

    def best(self, k: int, allowed: Allowed) -> np.ndarray:
        """The best of both."""
        index = self._index
        main = self._asked.best(k, index.allowed_of_main(allowed))
        rows = np.concatenate([main, index.rows])
        scores = np.concatenate([self._asked.score(main), self._near]).astype(np.float32)
        there = rows < len(allowed.blocked)
        if not there.all():
            rows, scores = rows[there], scores[there]
        return best_of_some(rows, scores, allowed.blocked.code, allowed.few, k)

    def score(self, rows: np.ndarray) -> np.ndarray:
        """Scores of given items."""
        index = self._index
        places, hits = index._places(rows)
        old = ~hits & (rows < len(index.main))
        scores = np.zeros(len(rows), np.float32)
        scores[old] = self._asked.score(rows[old])
        scores[hits] = self._near[places[hits]]
        return scores
