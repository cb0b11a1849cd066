"""What everybody takes now: decayed counts, globally and per segment. The fallback that always answers."""

import json
from pathlib import Path
from typing import Any, Self

import numpy as np

from tailorbird.catalog.catalog import Catalog
from tailorbird.events.interactions import Histories, Interactions
from tailorbird.models.base import Retrieved, Retriever
from tailorbird.models.retrievers.best import best, take
from tailorbird.recipes.recipe import PopularityRecipe

DAY = 86_400.0
GLOBAL = ""
"""The segment of those we know nothing of."""


class Popularity(Retriever):
    """Decayed counts of all events; a query is a row of the segment table (0: everybody)."""

    name = "popularity"

    def __init__(
        self, recipe: PopularityRecipe | None = None, *, user_segments: np.ndarray | None = None
    ) -> None:
        """``user_segments`` (n_users,) names each user's segment; without it there is only the global list."""
        self.recipe = recipe or PopularityRecipe()
        self._user_segments = user_segments
        self.segments: dict[str, int] = {GLOBAL: 0}
        self.table = np.zeros((1, 0), np.float32)  # (segments, n_items)
        self._lists = np.zeros((1, 0), np.int64)

    def fit(self, interactions: Interactions, catalog: Catalog) -> Self:
        """Count every event, halved for each half-life of age."""
        n, latest = len(catalog), interactions.times.max(initial=0.0)
        weights = 0.5 ** ((latest - interactions.times) / DAY / self.recipe.half_life_days)
        everybody = np.bincount(interactions.items, weights=weights, minlength=n)
        counts = np.bincount(interactions.items, minlength=n)
        everybody = everybody + 1e-6 * counts  # so that what decayed to nothing keeps its order
        everybody = everybody / max(everybody.sum(), 1e-12)
        self.segments, tables = {GLOBAL: 0}, [everybody]
        for name, mask in self._by_segment(interactions):
            own = np.bincount(interactions.items[mask], weights=weights[mask], minlength=n)
            prior = self.recipe.segment_events / 4  # events' worth of the global list, against small counts
            self.segments[name] = len(tables)
            tables.append((own + prior * everybody) / (own.sum() + prior))
        self._set(np.stack(tables).astype(np.float32))
        return self

    def encode(self, histories: Histories) -> np.ndarray:
        """(b,) rows of the segment table."""
        if histories.segments is None:
            return np.zeros(len(histories), np.int64)
        return np.array([self.segments.get(name, 0) for name in histories.segments], np.int64)

    def retrieve(self, queries: Any, k: int) -> Retrieved:
        """Read the sorted list of each query's segment."""
        k_here = min(k, self.table.shape[1])
        rows = self._lists[queries, :k_here]
        found = Retrieved(rows, np.take_along_axis(self.table[queries], rows, axis=1))
        missing = ((0, 0), (0, k - k_here))
        return Retrieved(
            np.pad(found.rows, missing, constant_values=-1),
            np.pad(found.scores, missing, constant_values=-np.inf),
        )

    def score(self, queries: Any, rows: np.ndarray) -> np.ndarray:
        """Shares of the decayed counts."""
        return take(self.table[queries], rows)

    def scores(self, queries: Any) -> np.ndarray:
        """(b, n_items) shares."""
        return self.table[queries]

    def scores_of_one(self, history: Histories) -> np.ndarray:
        """(n_items,) shares."""
        return self.table[int(self.encode(history)[0])]

    def top(self, k: int, *, segment: str = GLOBAL) -> np.ndarray:
        """The rows of a segment's most popular items, or of everybody's where the segment is unknown."""
        return self._lists[self.segments.get(segment, 0), :k]

    def save(self, folder: Path) -> None:
        """Write ``popularity.npy`` and ``segments.json``."""
        np.save(folder / "popularity.npy", self.table)
        (folder / "segments.json").write_text(json.dumps(self.segments), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote."""
        loaded = cls()
        loaded.segments = json.loads((folder / "segments.json").read_text(encoding="utf-8"))
        loaded._set(np.load(folder / "popularity.npy"))
        return loaded

    def _set(self, table: np.ndarray) -> None:
        self.table = table
        self._lists = best(table, table.shape[1]).rows

    def _by_segment(self, interactions: Interactions) -> list[tuple[str, np.ndarray]]:
        if self._user_segments is None or not len(interactions):
            return []
        of_event = self._user_segments[interactions.users]
        names, counts = np.unique(of_event.astype(str), return_counts=True)
        return [
            (str(name), of_event == name)
            for name, count in zip(names, counts, strict=True)
            if name != GLOBAL and count >= self.recipe.segment_events
        ]
