"""Habit: what the user took before and is likely to take again. A source where seen items may be answered."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import scipy.sparse as sp

from tailorbird.catalog.catalog import Catalog
from tailorbird.events.interactions import Histories, Interactions
from tailorbird.models.retrievers.recency import recency_matrix, without_runs
from tailorbird.models.retrievers.sparse import SparseRetriever
from tailorbird.recipes.recipe import HabitRecipe

LEAST_WEIGHT = 1e-6
"""What was had long ago still comes before what never was."""


class Habit(SparseRetriever):
    """Own items by how often and how lately they were taken (Hu et al. 2020), times how often people repeat them."""

    name = "habit"

    def __init__(self, recipe: HabitRecipe | None = None) -> None:
        self.recipe = recipe or HabitRecipe()
        self._set(np.zeros(0, np.float32))

    def fit(self, interactions: Interactions, catalog: Catalog) -> Self:
        """Learn which share of an item's takers take it again at another time, drawn to the mean where few are seen."""
        n = interactions.item_count
        pairs = interactions.users.astype(np.int64) * n + interactions.items
        visits = np.unique(np.stack([pairs, np.floor(interactions.times).astype(np.int64)]), axis=1)[0]
        takers, times = np.unique(visits, return_counts=True)
        owners = takers % max(n, 1)
        taken = np.bincount(owners, minlength=n)
        again = np.bincount(owners[times > 1], minlength=n)
        mean = again.sum() / max(taken.sum(), 1)
        share = (again + self.recipe.smoothing * mean) / np.maximum(taken + self.recipe.smoothing, 1e-9)
        self._set((share + 1e-3).astype(np.float32))
        return self

    def encode(self, histories: Histories) -> sp.csr_matrix:
        """(b, n_items) weights of each history's items, a row summing to one."""
        return recency_matrix(without_runs(histories), self._by_lag, item_count=len(self.repeated))

    def scores(self, queries: Any) -> np.ndarray:
        """(b, n_items) float32; 0 where the user never had the item."""
        return np.asarray(queries.toarray() * self.repeated, np.float32)

    def scores_of_one(self, history: Histories) -> np.ndarray:
        """(n_items,) without sparse matrices."""
        scores = np.zeros(len(self.repeated), np.float32)
        items = history.items[-len(self._by_lag) :][::-1]
        if len(items):
            by_lag = self._by_lag[: len(items)]
            np.add.at(scores, items, (by_lag / by_lag.sum()).astype(np.float32))
            scores[items] *= self.repeated[items]
        return scores

    def save(self, folder: Path) -> None:
        """Write the items' shares and the recipe."""
        np.save(folder / "repeated.npy", self.repeated)
        (folder / "habit.json").write_text(json.dumps(asdict(self.recipe)), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote."""
        loaded = cls(HabitRecipe(**json.loads((folder / "habit.json").read_text(encoding="utf-8"))))
        loaded._set(np.load(folder / "repeated.npy"))
        return loaded

    def _set(self, repeated: np.ndarray) -> None:
        self.repeated = repeated  # (n_items,) float32 share of takers who take the item again
        decayed = self.recipe.decay ** np.arange(float(self.recipe.history))
        self._by_lag = np.maximum(decayed, LEAST_WEIGHT)
