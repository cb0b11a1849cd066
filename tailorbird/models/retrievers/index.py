"""The vector index: the items' vectors, scored whole while that is quick, else searched by lists and scored exactly."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from tailorbird.models.base import Asked
from tailorbird.models.retrievers.lists import Lists
from tailorbird.models.retrievers.search import WHOLE, Search, SearchAsked, WholeAsked, choose_search
from tailorbird.plumbing.disk import mapped


class VectorIndex:
    """The nearest item vectors by inner product; rows of the index are rows of the catalogue."""

    def __init__(self, vectors: np.ndarray, search: Search = WHOLE, lists: Lists | None = None) -> None:
        self.vectors, self.search = vectors, search  # (n_items, d) float32, C order
        self._lists = lists

    @classmethod
    def build(cls, vectors: np.ndarray, *, queries: np.ndarray | None = None) -> "VectorIndex":
        """Index ``vectors`` (n_items, d) in the way that answers ``queries`` (b, d) (items' own, if None) quickest."""
        vectors = np.ascontiguousarray(vectors, np.float32)
        search, lists = choose_search(vectors, vectors if queries is None or not len(queries) else queries)
        return cls(vectors, search, lists)

    def __len__(self) -> int:
        return len(self.vectors)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """(c, d) the vectors of ``rows`` (c,)."""
        found: np.ndarray = self.vectors[rows]
        return found

    def exchanged(self, vectors: np.ndarray, *, out: np.ndarray, into: np.ndarray) -> "VectorIndex":
        """A searched index over ``vectors`` (n, d), of which it lacks the rows ``out`` for a start, then takes ``into``.

        The lists stay as they are: what changed goes into the nearest.
        """
        assert self._lists is not None, "an index that scores everything takes new vectors as they are"
        return VectorIndex(vectors, self.search, self._lists.exchanged(vectors, out=out, into=into))

    def ask(self, queries: np.ndarray) -> list[Asked]:
        """What ``queries`` (b, d) ask, one request each; a query of zeros gets nothing."""
        if self._lists is None:
            return [WholeAsked(scores) for scores in queries @ self.vectors.T]
        return [SearchAsked(self.vectors, query, self._lists, self.search) for query in queries]

    def save(self, folder: Path) -> None:
        """Write ``vectors.npy``, ``search.json`` and the lists, where there are any."""
        np.save(folder / "vectors.npy", self.vectors)
        (folder / "search.json").write_text(json.dumps(asdict(self.search), indent=2), "utf-8")
        if self._lists is not None:
            self._lists.save(folder)

    @classmethod
    def load(cls, folder: Path) -> "VectorIndex":
        """Map what ``save`` wrote into memory."""
        vectors, described = mapped(folder / "vectors.npy"), folder / "search.json"
        search = Search(**json.loads(described.read_text("utf-8"))) if described.exists() else WHOLE
        if search.whole:
            return cls(vectors)
        return cls(vectors, search, Lists.load(folder))
