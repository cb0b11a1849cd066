"""Habit: what the user took before and is likely to take again. A source where seen items may be answered."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import scipy.sparse as sp

from tailorbird.catalog.catalog import Catalog
from tailorbird.events.interactions import Histories, Interactions
from tailorbird.models.base import Retriever
from tailorbird.models.retrievers.recency import recency_matrix, without_runs
from tailorbird.models.retrievers.sparse import SparseScores
from tailorbird.recipes.recipe import HabitRecipe

LEAST_WEIGHT = 1e-6
"""What was had long ago still comes before what never was."""


class Habit(Retriever):
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

    def ask(self, histories: Sequence[Histories]) -> list[SparseScores]:
        """Look at the history's own items."""
        asked = []
        for history in histories:
            items = history.items[-len(self._by_lag) :][::-1]
            by_lag = self._by_lag[: len(items)]
            known = items < len(self.repeated)
            if not known.all():  # of what came after it was fitted nobody can say how often it is taken again
                items, by_lag = items[known], by_lag[known]
            own, place = np.unique(items, return_inverse=True)
            weights = np.bincount(place, by_lag, len(own)) / max(by_lag.sum(), 1e-12)
            rows = own.astype(np.int64)
            asked.append(SparseScores(rows, weights.astype(np.float32) * self.repeated[rows]))
        return asked

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
