"""What follows what: decayed directed co-occurrence blended with EASE, kept as sparse rows of neighbours."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from tailorbird.catalog.catalog import Catalog
from tailorbird.events.interactions import Histories, Interactions
from tailorbird.models.base import Retriever
from tailorbird.models.retrievers.recency import interactions_without_runs, recency_matrix, without_runs
from tailorbird.models.retrievers.sparse import Scratch, SparseScores, linked
from tailorbird.recipes.recipe import CooccurrenceRecipe


class Cooccurrence(Retriever):
    """A query weights the history's items, the latest most; scores are linear in it."""

    name = "cooccurrence"

    def __init__(self, recipe: CooccurrenceRecipe | None = None) -> None:
        self.recipe = recipe or CooccurrenceRecipe()
        self._set(sp.csr_matrix((0, 0), dtype=np.float32))

    def fit(self, interactions: Interactions, catalog: Catalog) -> Self:
        """Count pairs, invert the Gram matrix of the popular items, keep the strongest neighbours of the sum."""
        data = interactions_without_runs(interactions)
        follows, similar = directed(data, self.recipe), ease(data, self.recipe)
        share = np.float32(self.recipe.ease_share * self._spread(data, follows, similar))
        self._set(strongest((follows + similar * share).tocsr(), self.recipe.neighbours))
        return self

    def encode(self, histories: Histories) -> sp.csr_matrix:
        """(b, n_items) weights of each history's items, a row summing to one."""
        return recency_matrix(without_runs(histories), self._by_lag, item_count=self._links.shape[0])

    def scores(self, queries: Any) -> np.ndarray:
        """(b, n_items) float32."""
        return np.asarray((queries @ self._links).toarray(), np.float32)

    def ask(self, histories: Sequence[Histories]) -> list[SparseScores]:
        """Gather from the neighbours of each history alone."""
        links, zeros = self._links, self._scratch.zeros(self._links.shape[0])
        asked = []
        for history in histories:
            items = history.items[-len(self._by_lag) :][::-1]
            by_lag = self._by_lag[: len(items)]
            known = items < self._links.shape[0]
            if not known.all():  # it links nothing to what came after it was fitted
                items, by_lag = items[known], by_lag[known]
            weights = (by_lag / max(by_lag.sum(), 1e-12)).astype(np.float32)
            asked.append(
                SparseScores(*linked(items, weights, links.indptr, links.indices, links.data, zeros))
            )
        return asked

    def save(self, folder: Path) -> None:
        """Write the sparse rows and the recipe."""
        for name in ("indptr", "indices", "data"):
            np.save(folder / f"{name}.npy", getattr(self._links, name))
        (folder / "cooccurrence.json").write_text(json.dumps(asdict(self.recipe)), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Memory-map what ``save`` wrote."""
        loaded = cls(
            CooccurrenceRecipe(**json.loads((folder / "cooccurrence.json").read_text(encoding="utf-8")))
        )
        indptr, indices, data = (
            np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r"))
            for name in ("indptr", "indices", "data")
        )
        n = len(indptr) - 1
        loaded._set(sp.csr_matrix((data, indices, indptr), shape=(n, n)))
        return loaded

    def _set(self, links: sp.csr_matrix) -> None:
        self._links = links
        self._scratch = Scratch()
        self._by_lag = np.arange(1.0, self.recipe.history + 1) ** -self.recipe.query_power

    def _spread(self, data: Interactions, follows: sp.csr_matrix, similar: sp.csr_matrix) -> float:
        """How much wider the co-occurrence scores of typical users spread than EASE's."""
        users = np.flatnonzero(np.diff(data.indptr))
        users = users[:: max(1, len(users) // 256)]
        if not len(users):
            return 1.0
        recent = data.histories(users, np.full(len(users), np.inf), length=self.recipe.history)
        queries = recency_matrix(recent, self._by_lag, item_count=data.item_count)
        first, second = ((queries @ matrix).toarray().std(axis=1).mean() for matrix in (follows, similar))
        return float(first / max(second, 1e-12))


def directed(data: Interactions, recipe: CooccurrenceRecipe) -> sp.csr_matrix:
    """(n, n): how often j came after i, each pair counting distance ** -power, as a smoothed share of i's pairs.

    Coming back to i itself counts too: where repeats are answered, that is the strongest sign.
    """
    n = data.item_count
    counts = sp.csr_matrix((n, n), dtype=np.float32)
    for distance in range(1, min(recipe.window, len(data) - 1) + 1):
        same = data.users[distance:] == data.users[:-distance]
        before, after = data.items[:-distance][same], data.items[distance:][same]
        weights = np.full(len(before), distance**-recipe.pair_power, np.float32)
        counts = counts + sp.csr_matrix((weights, (before, after)), shape=(n, n))
    popularity = np.maximum(np.bincount(data.items, minlength=n), 1.0)
    pairs = np.asarray(counts.sum(axis=1)).ravel()
    by_row = sp.diags((1.0 / np.maximum(pairs + recipe.smoothing, 1e-9)).astype(np.float32))
    by_column = sp.diags((popularity**-recipe.popularity_power).astype(np.float32))
    return (by_row @ counts @ by_column).tocsr().astype(np.float32)


def ease(data: Interactions, recipe: CooccurrenceRecipe) -> sp.csr_matrix:
    """(n, n): the closed-form linear autoencoder on the most popular items, zero elsewhere (Steck, 2019)."""
    n = data.item_count
    popularity = np.bincount(data.items, minlength=n)
    chosen = np.sort(np.argsort(-popularity, kind="stable")[: min(recipe.ease_items, n)])
    chosen = chosen[popularity[chosen] > 0]
    if not len(chosen) or recipe.ease_share == 0:
        return sp.csr_matrix((n, n), dtype=np.float32)
    touched = data.matrix()[:, chosen]
    gram = (touched.T @ touched).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] += max(recipe.ease_l2, 1e-3)
    factor = scipy.linalg.cholesky(gram, lower=True, overwrite_a=True)
    inverse = scipy.linalg.cho_solve((factor, True), np.eye(len(chosen)))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    small = strongest(sp.csr_matrix(weights.astype(np.float32)), recipe.neighbours).tocoo()
    return sp.csr_matrix((small.data, (chosen[small.row], chosen[small.col])), shape=(n, n))


def strongest(matrix: sp.csr_matrix, k: int) -> sp.csr_matrix:
    """Keep the ``k`` entries of largest magnitude of each row."""
    indptr, kept = [0], []
    for start, end in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True):
        size = np.abs(matrix.data[start:end])
        here = np.arange(start, end) if len(size) <= k else start + np.sort(np.argpartition(-size, k)[:k])
        kept.append(here)
        indptr.append(indptr[-1] + len(here))
    take_from = np.concatenate([np.zeros(0, np.int64), *kept]).astype(np.int64)
    return sp.csr_matrix(
        (matrix.data[take_from], matrix.indices[take_from], np.array(indptr)), shape=matrix.shape
    )
