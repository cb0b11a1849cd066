"""What everybody takes now: decayed counts, globally and per segment. The fallback that always answers."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from tailorbird.catalog.catalog import Catalog
from tailorbird.events.interactions import Histories, Interactions
from tailorbird.models.allowed import Allowed
from tailorbird.models.base import Retriever
from tailorbird.models.retrievers.best import best_of_some, first_allowed
from tailorbird.plumbing.disk import mapped
from tailorbird.recipes.recipe import PopularityRecipe

DAY = 86_400.0
GLOBAL = ""
"""The segment of those we know nothing of."""


class Popularity(Retriever):
    """Decayed counts of all events; a query is a row of the segment table (0: everybody)."""

    name = "popularity"

    def __init__(
        self,
        recipe: PopularityRecipe | None = None,
        *,
        user_segments: np.ndarray | None = None,
        learned: Sequence[str] = (),
    ) -> None:
        """``user_segments`` (n_users,) names each user's segment; without it there is only the global list.

        With the keys of ``learned`` segments an event counts for the one its user was in at that instant instead.
        """
        self.recipe = recipe or PopularityRecipe()
        self._user_segments, self._learned = user_segments, learned
        self.segments: dict[str, int] = {GLOBAL: 0}
        self.table = np.zeros((1, 0), np.float32)  # (segments, n_items)
        self._lists = [np.zeros(0, np.int32)]  # of each segment, best first, those that have a share

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

    def scores(self, queries: Any) -> np.ndarray:
        """(b, n_items) shares of the decayed counts."""
        return self.table[queries]

    def ask(self, histories: Sequence[Histories]) -> list["PopularityAsked"]:
        """Read the sorted list of each one's segment."""
        return [
            PopularityAsked(self.table[segment], self._lists[segment])
            for segment in (int(self.encode(history)[0]) for history in histories)
        ]

    def top(self, k: int, *, segment: str = GLOBAL) -> np.ndarray:
        """(≤ k,) rows of a segment's most popular items, or of everybody's where the segment is unknown."""
        return self._lists[self.segments.get(segment, 0)][:k].astype(np.int64)

    def save(self, folder: Path) -> None:
        """Write ``popularity.npy``, each segment's sorted list and ``segments.json``."""
        np.save(folder / "popularity.npy", self.table)
        for segment, rows in enumerate(self._lists):
            np.save(folder / f"list-{segment}.npy", rows)
        (folder / "segments.json").write_text(json.dumps(self.segments), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote."""
        loaded = cls()
        loaded.segments = json.loads((folder / "segments.json").read_text(encoding="utf-8"))
        loaded.table = mapped(folder / "popularity.npy")
        if not (folder / "list-0.npy").exists():  # of an older version
            loaded._set(loaded.table)
            return loaded
        loaded._lists = [mapped(folder / f"list-{segment}.npy") for segment in range(len(loaded.table))]
        return loaded

    def _set(self, table: np.ndarray) -> None:
        self.table, self._lists = table, []
        for scores in table:
            order = np.argsort(-scores, kind="stable")
            self._lists.append(order[scores[order] > 0].astype(np.int32))

    def _by_segment(self, interactions: Interactions) -> list[tuple[str, np.ndarray]]:
        if not len(interactions):
            return []
        if interactions.groups is not None and self._learned:
            of_event = np.array([*self._learned, GLOBAL], dtype=object)[interactions.groups]
        elif self._user_segments is not None:
            of_event = self._user_segments[interactions.users]
        else:
            return []
        names, counts = np.unique(of_event.astype(str), return_counts=True)
        return [
            (str(name), of_event == name)
            for name, count in zip(names, counts, strict=True)
            if name != GLOBAL and count >= self.recipe.segment_events
        ]


@dataclass(frozen=True, eq=False)
class PopularityAsked:
    """One segment's ``shares`` (n_items,) float32 and its ``ordered`` (m,) int32 rows, best first."""

    shares: np.ndarray
    ordered: np.ndarray

    def best(self, k: int, allowed: Allowed) -> np.ndarray:
        """The first of the list that are allowed; where they are so few that they come late, the best of them."""
        if len(allowed) < math.isqrt(k * len(self.ordered)):
            rows = allowed.rows()
            return best_of_some(rows, self.score(rows), allowed.blocked.code, allowed.few, k)
        return first_allowed(self.ordered, allowed.blocked.code, allowed.few, k)

    def score(self, rows: np.ndarray) -> np.ndarray:
        """Shares of given items; 0 for those that came after it was fitted."""
        known = rows < len(self.shares)
        if known.all():
            shares: np.ndarray = self.shares[rows]
            return shares
        scores = np.zeros(len(rows), np.float32)
        scores[known] = self.shares[rows[known]]
        return scores
