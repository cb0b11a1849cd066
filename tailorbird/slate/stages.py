"""The model's stages: retrieve and score with a HybridModel, whose shortlist becomes the slate's candidates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tailorbird.features.items import ItemTable
from tailorbird.models.hybrid import DENSE_UP_TO, NO_ROWS, HybridModel
from tailorbird.models.shortlist import Shortlist
from tailorbird.slate.query import Candidates, Query, Removed

FEW = 1_000
"""Removed items that an index search can leave out beforehand at little cost."""


@dataclass(frozen=True)
class HybridStages:
    """Retrieves from every source of a hybrid and scores with its ranker."""

    model: HybridModel

    def with_items(self, items: ItemTable, *, now: float) -> "HybridStages":
        """The same model with fresh item features."""
        return HybridStages(self.model.with_items(items, now=now))

    def retrieve(self, query: Query, *, depth: int, removed: Sequence[Removed]) -> Candidates:
        """The ``depth`` best candidates of all sources together, the ``removed`` ones left out beforehand.

        In a catalogue too large to score whole, long lists of removed items are left to the caller, who gets more.
        """
        model = self.model
        parts = [part.rows for part in removed]
        if len(model.catalog) > DENSE_UP_TO:
            few = [rows for rows in parts if len(rows) <= FEW]
            depth, parts = (depth if len(few) == len(parts) else 5 * depth), few
        exclude = np.concatenate(parts) if parts else NO_ROWS
        row = model.catalog.row_of.get(query.item_id) if query.item_id else None
        history = model.history_of(query.state, now=query.now, demographics=query.demographics, item_row=row)
        found = model.shortlist(history, k=depth, exclude=exclude)
        return Candidates(found.rows, model.source_names, found.ranks, found.signals)

    def admit(self, query: Query, rows: np.ndarray) -> Candidates:
        """Given rows as candidates that no source proposed."""
        model = self.model
        history = model.history_of(query.state, now=query.now, demographics=query.demographics)
        found = model.signals(history, rows)
        return Candidates(found.rows, model.source_names, found.ranks, found.signals)

    def score(self, query: Query, candidates: Candidates) -> tuple[np.ndarray, np.ndarray]:
        """(c,) float32 scores, and the (u,) user features used."""
        assert candidates.signals is not None
        return self.model.score(
            Shortlist(candidates.rows, candidates.ranks, candidates.signals),
            query.state,
            now=query.now,
            context=query.context,
            demographics=query.demographics,
        )

    def neighbours(self, row: int, *, depth: int) -> tuple[Candidates, np.ndarray]:
        """The items that go with one item, with their (c,) float32 scores, best first."""
        found = self.model.similar(row, depth)
        held = found.rows[0] >= 0
        rows = found.rows[0][held]
        return Candidates(rows, ("similar",), np.arange(len(rows), dtype=np.int32)[:, None]), found.scores[0][
            held
        ]
