"""Content: items whose words are alike, for items nobody touched yet."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from tailorbird.catalog.catalog import Catalog
from tailorbird.events.interactions import Histories, Interactions
from tailorbird.models.base import Asked, Retriever
from tailorbird.models.retrievers.index import VectorIndex
from tailorbird.models.retrievers.recency import recency_matrix, without_runs
from tailorbird.recipes.recipe import ContentRecipe

WORD = r"(?u)\b\w+\b"


class Content(Retriever):
    """TF-IDF ▸ truncated SVD ▸ unit vectors; a query is the decayed mean of the history's vectors."""

    name = "content"

    def __init__(self, recipe: ContentRecipe | None = None) -> None:
        self.recipe = recipe or ContentRecipe(dimensions=64)
        self._by_lag = (self.recipe.query_decay ** np.arange(self.recipe.history)).astype(np.float32)
        self.index = VectorIndex.build(np.zeros((0, 1), np.float32))

    def fit(self, interactions: Interactions, catalog: Catalog) -> Self:
        """Read the catalogue's texts; interactions are not needed."""
        self.index = VectorIndex.build(text_vectors(catalog, self.recipe))
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
        if not len(items):
            return np.zeros(self.index.vectors.shape[1], np.float32)
        query = self._by_lag[: len(items)][::-1] @ self.index.vectors[items]
        unit: np.ndarray = query / np.float32(max(float(np.sqrt(query @ query)), 1e-12))
        return unit

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


def text_vectors(catalog: Catalog, recipe: ContentRecipe) -> np.ndarray:
    """(n_items, d) unit vectors of the items' texts; zeros where there is no text."""
    texts = catalog.texts
    empty = np.zeros((len(catalog), recipe.dimensions), np.float32)
    if not any(text.strip() for text in texts):
        return empty
    from sklearn.decomposition import TruncatedSVD  # here: whoever only serves a model needs none of it
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(
        max_features=recipe.vocabulary, sublinear_tf=True, stop_words="english", token_pattern=WORD
    )
    try:
        matrix = vectorizer.fit_transform(texts)  # (n_items, words)
    except ValueError:  # every word is a stop word
        return empty
    d = min(recipe.dimensions, matrix.shape[1], matrix.shape[0])
    if d < 1 or matrix.shape[1] < 2:
        return empty
    vectors = TruncatedSVD(d, random_state=0).fit_transform(matrix)
    return _unit(np.pad(vectors, ((0, 0), (0, recipe.dimensions - d))).astype(np.float32))


def _unit(vectors: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.maximum(norm, 1e-12)).astype(np.float32)
