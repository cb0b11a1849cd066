"""The stages of a hybrid, whose shortlist becomes the slate's candidates, and the recommender that stands on them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tailorbird.catalog.catalog import Catalog
from tailorbird.features.items.items import ItemTable
from tailorbird.models.allowed import NO_ROWS, Allowed
from tailorbird.models.hybrid.model import HybridModel
from tailorbird.models.hybrid.shortlist import Shortlist
from tailorbird.models.ranker.ranker import Inputs
from tailorbird.slate.fallback import FallbackChain
from tailorbird.slate.newcomers import Newcomers
from tailorbird.slate.query import Candidates, Query
from tailorbird.slate.recommender import Policy, Recommender
from tailorbird.slate.shelf import Shelf


@dataclass(frozen=True)
class HybridStages:
    """Retrieves from every source of a hybrid and scores with its ranker."""

    model: HybridModel

    def with_items(self, items: ItemTable, *, now: float) -> "HybridStages":
        """The same model with fresh item features."""
        return HybridStages(self.model.with_items(items, now=now))

    def grown(self, told: Catalog, catalog: Catalog) -> "HybridStages":
        """The same model over ``catalog``, which has new items at its end; ``told`` are these, and known ones with a new text."""
        return HybridStages(self.model.grown(told, catalog))

    def settled(self) -> "HybridStages":
        """The same model, its indexes made anew where much lies beside them."""
        model = self.model.settled()
        return self if model is self.model else HybridStages(model)

    def retrieve(
        self, queries: Sequence[Query], *, depths: Sequence[int], allowed: Sequence[Allowed]
    ) -> list[Candidates]:
        """For each query the best candidates of all sources together among the ``allowed``."""
        model = self.model
        histories = [
            model.history_of(
                query.state,
                now=query.now,
                demographics=query.demographics,
                item_row=model.catalog.row_of.get(query.item_id) if query.item_id else None,
                placed=query.placed_by(model.pinned),
            )
            for query in queries
        ]
        found = model.shortlists(histories, ks=depths, allowed=allowed)
        return [Candidates(each.rows, model.source_names, each.ranks, each.signals) for each in found]

    def admit(self, query: Query, rows: np.ndarray) -> Candidates:
        """Given rows as candidates that no source proposed."""
        model = self.model
        history = model.history_of(
            query.state,
            now=query.now,
            demographics=query.demographics,
            placed=query.placed_by(model.pinned),
        )
        found = model.signals(history, rows)
        return Candidates(found.rows, model.source_names, found.ranks, found.signals)

    def score(
        self, queries: Sequence[Query], candidates: Sequence[Candidates]
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each query the (c,) float32 scores of its candidates, and the (u,) user features used."""
        return [self._score(*asked) for asked in zip(queries, candidates, strict=True)]

    def inputs(self, query: Query, candidates: Candidates) -> Inputs | None:
        """What the ranker reads of the candidates, every group whole; None for neighbours, which it never saw."""
        if candidates.signals is None:
            return None
        model, rows = self.model, candidates.rows
        cross, user, context = model.features(
            rows,
            query.state,
            now=query.now,
            context=query.context,
            demographics=query.demographics,
            placed=query.placed_by(model.pinned),
        )
        return Inputs(candidates.signals, model.item_features.rows(rows), cross, user, context)

    def neighbours(self, row: int, *, depth: int) -> tuple[Candidates, np.ndarray]:
        """The items that go with one item, with their (c,) float32 scores, best first."""
        rows, scores = self.model.similar(row, depth)
        return Candidates(rows, ("similar",), np.arange(len(rows), dtype=np.int32)[:, None]), scores

    @property
    def heads(self) -> tuple[str, ...]:
        """The outcomes that the ranker has heads of."""
        return tuple(self.model.ranker.heads)

    def newcomers(self, *, new_days: float, first_impressions: int) -> Newcomers:
        """The items that are new at the instant of the item features, by what had happened to them by then."""
        model = self.model
        return Newcomers.of(
            model.item_table, now=model.items_at, new_days=new_days, first_impressions=first_impressions
        )

    def _score(self, query: Query, candidates: Candidates) -> tuple[np.ndarray, np.ndarray]:
        assert candidates.signals is not None
        return self.model.score(
            Shortlist(candidates.rows, candidates.ranks, candidates.signals),
            query.state,
            now=query.now,
            context=query.context,
            demographics=query.demographics,
            placed=query.placed_by(self.model.pinned),
            weights=query.wishes.weights,
        )


def recommender_of(
    model: HybridModel,
    *,
    name: str = "",
    version: str = "",
    shelf: Shelf | None = None,
    chain: FallbackChain | None = None,
) -> Recommender:
    """The recommender that serves ``model`` as its recipe says, and that every measurement asks.

    Without ``shelf`` nothing is known of any stock: what can be bought today says nothing of instants of the past.
    Without ``chain`` the model's own popularity fills what it cannot.
    """
    recipe = model.recipe
    return Recommender(
        name=name,
        version=version,
        shelf=Shelf.of_past(model.catalog) if shelf is None else shelf,
        chain=_favourites(model) if chain is None else chain,
        stages=HybridStages(model),
        pinned=model.pinned,
        policy=Policy(
            depth=recipe.candidates,
            keep_seen=not recipe.exclude_seen,
            max_category_share=recipe.max_category_share,
        ),
    )


def _favourites(model: HybridModel) -> FallbackChain:
    popularity, catalog = model.popularity, model.catalog
    if popularity is None:
        return FallbackChain(everyone=NO_ROWS, editorial=NO_ROWS)
    lists = {segment: popularity.top(len(catalog), segment=segment) for segment in popularity.segments}
    return FallbackChain(
        everyone=lists[""],
        editorial=NO_ROWS,
        segments={name: rows for name, rows in lists.items() if name},
    )
