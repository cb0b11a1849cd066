"""Content: items whose words are alike, for items nobody touched yet."""

from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any, Self

import numpy as np

from tailorbird.catalog.catalog import Catalog
from tailorbird.events.interactions import Histories, Interactions
from tailorbird.models.base import Asked, Retriever
from tailorbird.models.retrievers.grown import GrownIndex
from tailorbird.models.retrievers.index import VectorIndex
from tailorbird.models.retrievers.recency import recency_matrix, some_histories, without_runs
from tailorbird.models.retrievers.search import MEASURED
from tailorbird.models.retrievers.texts import Embedded
from tailorbird.recipes.recipe import ContentRecipe


class Content(Retriever):
    """Items in the text space; a query is the decayed mean of the history's vectors."""

    name = "content"

    def __init__(self, recipe: ContentRecipe | None = None, *, texts: Embedded | None = None) -> None:
        """``texts`` are the items' texts in their space, made from the catalogue where absent."""
        self.recipe = recipe or ContentRecipe(dimensions=64)
        self._texts = texts
        self._by_lag = (self.recipe.query_decay ** np.arange(self.recipe.history)).astype(np.float32)
        self.index = VectorIndex.build(np.zeros((0, 1), np.float32))

    def fit(self, interactions: Interactions, catalog: Catalog) -> Self:
        """Read the catalogue's texts; interactions are not needed."""
        vectors = (self._texts or Embedded.of(catalog.texts, self.recipe)).vectors
        if self.index.vectors is not vectors:
            asking = some_histories(interactions, count=MEASURED, length=self.recipe.history, seed=0)
            weights = recency_matrix(asking, self._by_lag, item_count=len(vectors))
            self.index = VectorIndex.build(vectors, queries=_unit(np.asarray(weights @ vectors)))
        return self

    def encode(self, histories: Histories) -> np.ndarray:
        """(b, d) decayed means, unit length; zero for an empty history."""
        weights = recency_matrix(without_runs(histories), self._by_lag, item_count=len(self.index))
        return _unit(np.asarray(weights @ self.index.vectors, np.float32))

    def scores(self, queries: Any) -> np.ndarray:
        """(b, n_items) cosines."""
        return np.asarray(queries @ self.index.vectors.T)

    def ask(self, histories: Sequence[Histories]) -> list[Asked]:
        """Look for what lies near each history's mean."""
        return self.index.ask(np.stack([self._query(history) for history in histories]))

    def _query(self, history: Histories) -> np.ndarray:
        items = history.items[-self.recipe.history :]
        query = self._by_lag[: len(items)][::-1] @ self.index.take(items)
        unit: np.ndarray = query / np.float32(max(float(np.sqrt(query @ query)), 1e-12))
        return unit

    def grown(self, rows: np.ndarray, texts: np.ndarray | None, *, count: int) -> Self:
        """With the new texts beside the index."""
        if texts is None:
            rows, texts = rows[:0], np.zeros((0, self.recipe.dimensions), np.float32)
        return self.over(GrownIndex.of(self.index, rows, texts, count=count))

    def settled(self) -> Self:
        """With one index where much lies beside it."""
        index = self.index
        return self.over(index.joined()) if isinstance(index, GrownIndex) and index.crowded else self

    def over(self, index: VectorIndex) -> Self:
        """The same source with the items' vectors in another index."""
        fresh = copy(self)
        fresh.index = index
        return fresh

    def save(self, folder: Path) -> None:
        """Write the index and the query's decay."""
        self.index.save(folder)
        np.save(folder / "query.npy", np.array([self.recipe.history, self.recipe.query_decay]))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote."""
        index = VectorIndex.load(folder)
        history, decay = np.load(folder / "query.npy")
        loaded = cls(
            ContentRecipe(dimensions=index.vectors.shape[1], history=int(history), query_decay=float(decay))
        )
        loaded.index = index
        return loaded


def _unit(vectors: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.maximum(norm, 1e-12)).astype(np.float32)
