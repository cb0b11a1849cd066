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
from tailorbird.plumbing.compiled import compiled
from tailorbird.plumbing.disk import mapped
from tailorbird.recipes.recipe import CooccurrenceRecipe

ROWS_AT_ONCE = 50_000


class Cooccurrence(Retriever):
    """A query weights the history's items, the latest most; scores are linear in it."""

    name = "cooccurrence"

    def __init__(self, recipe: CooccurrenceRecipe | None = None) -> None:
        self.recipe = recipe or CooccurrenceRecipe()
        self._set(sp.csr_matrix((0, 0), dtype=np.float32))

    def fit(self, interactions: Interactions, catalog: Catalog) -> Self:
        """Count pairs, invert the Gram matrix of the popular items, keep the strongest neighbours of the sum."""
        data = interactions_without_runs(interactions)
        similar = ease(data, self.recipe)
        share = np.float32(self.recipe.ease_share * self._spread(data, similar))
        self._set(directed(data, self.recipe, keep=self.recipe.neighbours, beside=similar * share))
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
        indptr, indices, data = (mapped(folder / f"{name}.npy") for name in ("indptr", "indices", "data"))
        n = len(indptr) - 1
        loaded._set(sp.csr_matrix((data, indices, indptr), shape=(n, n)))
        return loaded

    def _set(self, links: sp.csr_matrix) -> None:
        self._links = links
        self._scratch = Scratch()
        self._by_lag = np.arange(1.0, self.recipe.history + 1) ** -self.recipe.query_power

    def _spread(self, data: Interactions, similar: sp.csr_matrix) -> float:
        """How much wider the co-occurrence scores of typical users spread than EASE's."""
        users = np.flatnonzero(np.diff(data.indptr))
        users = users[:: max(1, len(users) // 256)]
        if not len(users):
            return 1.0
        recent = data.histories(users, np.full(len(users), np.inf), length=self.recipe.history)
        queries = recency_matrix(recent, self._by_lag, item_count=data.item_count)
        follows = directed(data, self.recipe, rows=np.unique(recent.items))
        first, second = (_spread_of(queries @ matrix) for matrix in (follows, similar))
        return float(first / max(second, 1e-12))


def _spread_of(scores: sp.csr_matrix) -> float:
    """The mean standard deviation of the rows of (b, n) ``scores``, zeros included."""
    n = max(scores.shape[1], 1)
    mean = np.asarray(scores.sum(axis=1)).ravel() / n
    square = np.asarray(scores.multiply(scores).sum(axis=1)).ravel() / n
    return float(np.sqrt(np.maximum(square - mean**2, 0.0)).mean())


def directed(
    data: Interactions,
    recipe: CooccurrenceRecipe,
    *,
    rows: np.ndarray | None = None,
    keep: int | None = None,
    beside: sp.csr_matrix | None = None,
) -> sp.csr_matrix:
    """(n, n): how often j came after i, each pair counting distance ** -power, as a smoothed share of i's pairs.

    Coming back to i itself counts too: where repeats are answered, that is the strongest sign. Only ``rows`` (all, if None)
    are filled; to each ``beside`` (n, n) is added, and its ``keep`` entries of largest magnitude stay (all, if None). Row by
    row: never are all pairs held at once.
    """
    n = data.item_count
    rows = np.arange(n) if rows is None else rows
    beside = sp.csr_matrix((n, n), dtype=np.float32) if beside is None else beside
    order = np.argsort(data.items, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(data.items, minlength=n))])
    weights = np.arange(1.0, recipe.window + 1) ** -recipe.pair_power
    column = np.maximum(np.bincount(data.items, minlength=n), 1.0) ** -recipe.popularity_power
    zeros, lengths = np.zeros(n, np.float32), np.zeros(n, np.int64)
    indices, links = [np.zeros(0, np.int32)], [np.zeros(0, np.float32)]
    for first in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[first : first + ROWS_AT_ONCE]
        counts, found, values = _followed(
            some,
            n if keep is None else keep,
            data.users,
            data.items,
            order,
            starts,
            weights.astype(np.float32),
            recipe.smoothing,
            column.astype(np.float32),
            beside.indptr,
            beside.indices,
            beside.data,
            zeros,
        )
        lengths[some] = counts
        indices.append(found)
        links.append(values)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    return sp.csr_matrix((np.concatenate(links), np.concatenate(indices), indptr), shape=(n, n))


@compiled
def _followed(
    rows: np.ndarray,
    keep: int,
    users: np.ndarray,
    items: np.ndarray,
    order: np.ndarray,
    starts: np.ndarray,
    weights: np.ndarray,
    smoothing: float,
    column: np.ndarray,
    beside_indptr: np.ndarray,
    beside_indices: np.ndarray,
    beside_links: np.ndarray,
    zeros: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each of ``rows`` (r,): how many entries it has, then all their columns, ascending in a row, and values.

    ``order[starts[i] : starts[i + 1]]`` are the places of item i; ``zeros`` (n,) is written to, and zero again afterwards.
    """
    counts = np.zeros(len(rows), np.int64)
    indices, links, size = np.empty(1024, np.int32), np.empty(1024, np.float32), 0
    touched = np.empty(len(zeros), np.int32)
    for at in range(len(rows)):
        row, count, pairs = rows[at], 0, 0.0
        for occurrence in order[starts[row] : starts[row + 1]]:
            last = min(len(items), occurrence + 1 + len(weights))
            for place in range(occurrence + 1, last):
                if users[place] != users[occurrence]:
                    break
                other = items[place]
                if zeros[other] == 0.0:
                    touched[count] = other
                    count += 1
                zeros[other] += weights[place - occurrence - 1]
                pairs += weights[place - occurrence - 1]
        scale = 1.0 / max(pairs + smoothing, 1e-9)
        for other in touched[:count]:
            zeros[other] *= scale * column[other]
        for here in range(beside_indptr[row], beside_indptr[row + 1]):
            other = beside_indices[here]
            if zeros[other] == 0.0:
                touched[count] = other
                count += 1
            zeros[other] += beside_links[here]
        found = np.sort(touched[:count])
        values = np.empty(count, np.float32)
        for place in range(count):
            values[place] = zeros[found[place]]
            zeros[found[place]] = 0.0
        if count > keep:
            largest = _largest(values, keep)
            found, values, count = found[largest], values[largest], keep
        while size + count > len(indices):
            wider, longer = np.empty(2 * len(indices), np.int32), np.empty(2 * len(links), np.float32)
            wider[:size], longer[:size] = indices[:size], links[:size]
            indices, links = wider, longer
        indices[size : size + count], links[size : size + count] = found[:count], values[:count]
        size += count
        counts[at] = count
    return counts, indices[:size].copy(), links[:size].copy()


@compiled
def _largest(values: np.ndarray, keep: int) -> np.ndarray:
    """(keep,) places of the entries of largest magnitude among more of them, ascending; of equal ones the first."""
    sizes, places, count = np.abs(values), np.empty(keep, np.int64), 0
    floor = np.partition(sizes, len(values) - keep)[len(values) - keep]
    left = keep - np.sum(sizes > floor)
    for place in range(len(values)):
        if sizes[place] > floor or (sizes[place] == floor and left > 0):
            left -= sizes[place] == floor
            places[count] = place
            count += 1
    return places


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
