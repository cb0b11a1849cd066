"""The hybrid: several retrievers propose, one ranker orders. Fitting it is :mod:`tailorbird.models.hybrid.fit`."""

import json
from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from types import MappingProxyType
from typing import Self

import numpy as np

from tailorbird.catalog.catalog import Catalog
from tailorbird.catalog.mapped import MappedCatalog, write_mapped
from tailorbird.events.interactions import Histories
from tailorbird.features.demographics import NOBODY, Demographics, segment_of
from tailorbird.features.history.context import context_vector
from tailorbird.features.items.items import ItemTable
from tailorbird.features.items.more_items import with_more_items
from tailorbird.features.profile.source import RowsOfKeys, histories_of
from tailorbird.features.profile.state import UserState
from tailorbird.features.vectors.cross import cross_matrix
from tailorbird.features.vectors.item import ItemFeatures
from tailorbird.features.vectors.user import user_vector
from tailorbird.models.allowed import NO_ROWS, Allowed
from tailorbird.models.base import Asked, Retriever
from tailorbird.models.hybrid.rows import RowCache
from tailorbird.models.hybrid.shortlist import Shortlist, merge, signals_of
from tailorbird.models.ranker.ranker import Ranker
from tailorbird.models.retrievers.content import Content
from tailorbird.models.retrievers.cooccurrence import Cooccurrence
from tailorbird.models.retrievers.habit import Habit
from tailorbird.models.retrievers.popularity import Popularity
from tailorbird.models.retrievers.recency import without_runs
from tailorbird.models.retrievers.texts import TextSpace
from tailorbird.models.sequence.retriever import Sequence as SequenceRetriever
from tailorbird.recipes.recipe import Recipe, load_recipe
from tailorbird.segments.pinned import PinnedSegments, Placed, segment_vector
from tailorbird.slate.query import Weights

RETRIEVERS: Mapping[str, type[Retriever]] = {
    kind.name: kind for kind in (Cooccurrence, SequenceRetriever, Content, Popularity, Habit)
}
CATALOG = "catalog"
"""The folder of the items; bundles of older versions have a table of them."""
TEXTS = "texts"
"""The folder of the text space; bundles of older versions lack it."""
SEGMENTS = "segments"
"""The folder of the segment model; bundles that pin none lack it."""
MOST_WEIGHED = 256
"""Rankers of other weights that are kept."""
NO_CONTEXT: Mapping[str, object] = MappingProxyType({})


class HybridModel:
    """Everything that answers: retrievers, ranker, item features and the catalogue their rows belong to.

    Asked through :mod:`tailorbird.models.hybrid.stages`: ``history_of`` ▸ ``shortlists`` ▸ (filter) ▸ ``score``.
    Predicting never mutates; :meth:`with_items` returns a new model that shares the rest.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        retrievers: Mapping[str, Retriever],
        ranker: Ranker,
        item_table: ItemTable,
        items_at: float,
        recipe: Recipe,
        shares: Mapping[str, float] | None = None,
        text_space: TextSpace | None = None,
        pinned: PinnedSegments | None = None,
    ) -> None:
        """``items_at`` is the instant of the item features; ``shares`` the sources' turns in the shortlist.

        ``text_space`` is where the texts of items lie, those of items to come too; None where no source reads texts.
        ``pinned`` are the segments that the ranker learned with and popularity is of; None: popularity is of what people told.
        """
        self.catalog = catalog
        self.retrievers = dict(retrievers)
        self.ranker = ranker
        self.item_table = item_table
        self.items_at = items_at
        self.recipe = recipe
        self.text_space = text_space
        self.pinned = pinned
        self.source_names = tuple(self.retrievers)
        self.shares = {name: float((shares or {}).get(name, 1.0)) for name in self.source_names}
        self._turns = np.array([max(self.shares[name], 1e-3) for name in self.source_names])
        self._rows_of = RowsOfKeys.of_table(item_table)
        self.item_features = ItemFeatures(item_table, now=items_at)
        self._item_part = RowCache(len(catalog), self._part_of)
        self._weighed: dict[Weights, Ranker] = {(): ranker}
        self._history = max(recipe.sequence.history, recipe.cooccurrence.history, recipe.content.history)

    @property
    def popularity(self) -> Popularity | None:
        """The popularity source, where the recipe has one: the fallback lists come from it."""
        found = self.retrievers.get(Popularity.name)
        return found if isinstance(found, Popularity) else None

    @property
    def reads_segments(self) -> bool:
        """Whether the ranker reads where people belong."""
        return self.pinned is not None and self.recipe.ranker.segments

    def with_ranker(self, ranker: Ranker) -> "HybridModel":
        """The same model with another ranker of the same inputs."""
        fresh = copy(self)
        fresh.ranker, fresh._weighed = ranker, {(): ranker}
        fresh._item_part = RowCache(len(self.catalog), fresh._part_of)
        return fresh

    def with_items(self, item_table: ItemTable, *, now: float) -> "HybridModel":
        """The same model with fresh item features."""
        return HybridModel(
            catalog=self.catalog,
            retrievers=self.retrievers,
            ranker=self.ranker,
            item_table=item_table,
            items_at=now,
            recipe=self.recipe,
            shares=self.shares,
            text_space=self.text_space,
            pinned=self.pinned,
        )

    def grown(self, told: Catalog, catalog: Catalog) -> "HybridModel":
        """The same model over ``catalog``, which has new items at its end; ``told`` are these, and known ones with a new text.

        Nothing that is as long as the catalogue is made: vectors lie beside the index, the other sources say nothing of the
        new, and the features of the others stay as they were counted.
        """
        rows = catalog.rows(told.item_ids).astype(np.int64)
        new = np.flatnonzero(rows >= len(self.catalog))
        more = Catalog(told.items.iloc[new[np.argsort(rows[new])]].reset_index(drop=True))
        fresh = copy(self)
        fresh.catalog = catalog
        texts = None if self.text_space is None else self.text_space.vectors(told.texts)
        fresh.retrievers = {
            name: source.grown(rows, texts, count=len(catalog)) for name, source in self.retrievers.items()
        }
        if len(more):
            fresh.item_table = with_more_items(self.item_table, more, since=self.items_at)
            fresh.item_features = self.item_features.grown(fresh.item_table)
            fresh._rows_of = RowsOfKeys.of_table(fresh.item_table)
        fresh._item_part = self._item_part.grown(len(catalog), fresh._part_of)
        return fresh

    def settled(self) -> "HybridModel":
        """The same model, its indexes made anew where much lies beside them; that takes seconds in a large catalogue."""
        retrievers = {name: source.settled() for name, source in self.retrievers.items()}
        if all(source is self.retrievers[name] for name, source in retrievers.items()):
            return self
        fresh = copy(self)
        fresh.retrievers = retrievers
        return fresh

    def history_of(
        self,
        state: UserState,
        *,
        now: float,
        demographics: Demographics = NOBODY,
        item_row: int | None = None,
        placed: Placed | None = None,
    ) -> Histories:
        """What retrievers see of a profile, without runs; ``item_row``, looked at right now, counts as the newest event.

        ``placed`` spares asking the pinned segments again.
        """
        found = histories_of(
            [state],
            self._rows_of,
            now=np.array([now]),
            length=4 * self._history,
            taste=self.recipe.taste,
        )
        items, times, weights = found.items, found.times, found.weights
        if item_row is not None:
            items = np.append(items, np.int32(item_row))
            times, weights = np.append(times, now), np.append(weights, np.float32(1.0))
        return without_runs(
            Histories(
                indptr=np.array([0, len(items)], np.int64),
                items=items,
                times=times,
                weights=weights,
                now=np.array([now]),
                segments=np.array([self._group_of(state, demographics, placed)], dtype=object),
            )
        )

    def shortlist(
        self, history: Histories, *, k: int | None = None, exclude: np.ndarray = NO_ROWS
    ) -> Shortlist:
        """The ``k`` candidates (default: the recipe's) of one history, rows of ``exclude`` left out beforehand."""
        allowed = Allowed.all_but(len(self.catalog), exclude)
        (found,) = self.shortlists(
            [history], ks=[self.recipe.candidates if k is None else k], allowed=[allowed]
        )
        return found

    def shortlists(
        self, histories: Sequence[Histories], *, ks: Sequence[int], allowed: Sequence[Allowed]
    ) -> list[Shortlist]:
        """The same for several requests, source by source: each source's tables are then read once, not once a request."""
        asked = [source.ask(histories) for source in self.retrievers.values()]
        return [
            self._merged(one, k, free, self._turns) for *one, k, free in zip(*asked, ks, allowed, strict=True)
        ]

    def signals(self, history: Histories, rows: np.ndarray) -> Shortlist:
        """Given rows as a shortlist that no source proposed: for putting a caller's list in order."""
        rows = np.asarray(rows, np.int64)
        scores = np.stack(
            [source.ask([history])[0].score(rows) for source in self.retrievers.values()], axis=1
        )
        ranks = np.full(scores.shape, -1, np.int32)
        return Shortlist(rows, ranks, signals_of(scores, ranks))

    def features(
        self,
        rows: np.ndarray,
        state: UserState,
        *,
        now: float,
        context: Mapping[str, object],
        demographics: Demographics,
        placed: Placed | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What the ranker reads beside signals and items, in a request as while it learns.

        (c, ·) of the person and the candidates ``rows`` (c,) together, (u,) of the person, (t,) of the request.
        """
        return (
            cross_matrix(state, self.item_table, rows, now=now),
            self._person(state, now=now, demographics=demographics, placed=placed),
            context_vector(context, now=now),
        )

    def score(
        self,
        shortlist: Shortlist,
        state: UserState,
        *,
        now: float,
        context: Mapping[str, object] = NO_CONTEXT,
        demographics: Demographics = NOBODY,
        placed: Placed | None = None,
        weights: Weights = (),
    ) -> tuple[np.ndarray, np.ndarray]:
        """(c,) float32 scores of the candidates, and the (u,) user features that were used.

        ``weights`` of the ranker's heads order otherwise than its own score does.
        """
        rows = shortlist.rows
        cross, user, request = self.features(
            rows, state, now=now, context=context, demographics=demographics, placed=placed
        )
        ranker = self._weighed.get(weights) or self._weighed_by(weights)
        return ranker.score(shortlist.signals, self._item_part.take(rows), cross, user, request), user

    def similar(self, row: int, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The ``k`` items that go with one item, itself left out: rows (≤ k,) and scores (≤ k,) float32, best first.

        None where popularity is the only source: what everybody takes goes with nothing in particular.
        """
        sources = [source for name, source in self.retrievers.items() if name != Popularity.name]
        if not sources:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        alone = Histories.of([[row]], now=self.items_at)
        asked = [source.ask([alone])[0] for source in sources]
        allowed = Allowed.all_but(len(self.catalog), np.array([row]))
        found = self._merged(asked, min(4 * k, len(allowed)), allowed, np.ones(len(asked)))
        strength = found.signals[:, : len(asked)].mean(axis=1)
        order = np.argsort(-strength, kind="stable")[:k]
        return found.rows[order], strength[order]

    def save(self, folder: Path) -> None:
        """Write every part into ``folder``; nobody's demographics are among them."""
        folder.mkdir(parents=True, exist_ok=True)
        write_mapped(self.catalog, folder / CATALOG)
        (folder / "recipe.toml").write_text(self.recipe.to_toml(), encoding="utf-8")
        (folder / "hybrid.json").write_text(
            json.dumps({"items_at": self.items_at, "shares": self.shares}), encoding="utf-8"
        )
        for name in (*self.retrievers, "ranker", "items"):
            (folder / name).mkdir(exist_ok=True)
        for name, retriever in self.retrievers.items():
            retriever.save(folder / name)
        self.ranker.save(folder / "ranker")
        if self.text_space is not None:
            self.text_space.save(folder / TEXTS)
        if self.pinned is not None:
            self.pinned.save(folder / SEGMENTS)
        self.item_table.save(folder / "items")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote."""
        described = json.loads((folder / "hybrid.json").read_text(encoding="utf-8"))
        return cls(
            catalog=MappedCatalog(folder / CATALOG) if (folder / CATALOG).exists() else Catalog.read(folder),
            retrievers={name: RETRIEVERS[name].load(folder / name) for name in described["shares"]},
            ranker=Ranker.load(folder / "ranker"),
            item_table=ItemTable.load(folder / "items"),
            items_at=described["items_at"],
            recipe=load_recipe(folder / "recipe.toml"),
            shares=described["shares"],
            text_space=TextSpace.load(folder / TEXTS) if (folder / TEXTS).exists() else None,
            pinned=PinnedSegments.load(folder / SEGMENTS) if (folder / SEGMENTS).exists() else None,
        )

    def _group_of(self, state: UserState, demographics: Demographics, placed: Placed | None) -> str:
        """Whose popularity is asked for: that of the learned segment, or of those who told the same."""
        if self.pinned is None:
            return segment_of(demographics)
        return self.pinned.key_of(placed or self.pinned.placed(state, demographics))

    def _person(
        self, state: UserState, *, now: float, demographics: Demographics, placed: Placed | None
    ) -> np.ndarray:
        """(u,) what the ranker reads of a person: USER_FEATURES, then SEGMENT_FEATURES where it learned with segments."""
        vector = user_vector(state, now=now, demographics=demographics)
        if self.pinned is None or not self.reads_segments:
            return vector
        return np.concatenate([vector, segment_vector(placed or self.pinned.placed(state, demographics))])

    def _weighed_by(self, weights: Weights) -> Ranker:
        """The ranker of these weights, kept: scenarios and variants have a few."""
        if len(self._weighed) > MOST_WEIGHED:
            self._weighed = {(): self.ranker}
        made = self._weighed[weights] = self.ranker.weighed(dict(weights))
        return made

    def _part_of(self, rows: np.ndarray) -> np.ndarray:
        return self.ranker.item_part(self.item_features.rows(rows))

    def _merged(self, asked: Sequence[Asked], k: int, allowed: Allowed, turns: np.ndarray) -> Shortlist:
        """The union of the sources' best."""
        k = max(0, min(k, len(allowed)))
        lists = [each.best(k, allowed) for each in asked]
        rows, ranks = merge(lists, turns, k)
        scores = np.stack([each.score(rows) for each in asked], axis=1)  # (c, s)
        return Shortlist(rows, ranks, signals_of(scores, ranks))
