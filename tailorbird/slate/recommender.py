"""The recommender: retrieve ▸ filter ▸ score ▸ select, with an answer whatever happens."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b

import numpy as np

from tailorbird.catalog.catalog import Catalog
from tailorbird.segments.pinned import PinnedSegments
from tailorbird.slate.exploration import NO_EXPLORATION, Exploration, warmed
from tailorbird.slate.fallback import EVERYONE, FallbackChain
from tailorbird.slate.filters import FILTERS, Filter, Known, Screen
from tailorbird.slate.newcomers import NO_NEWCOMERS, Newcomers
from tailorbird.slate.page import Drawer, filled, items_of, select_rows
from tailorbird.slate.query import Candidates, Query, Ranking, Slate, SlateItem
from tailorbird.slate.ranking import Wanted, candidates_of, ranked, ranked_together, tried, tried_together
from tailorbird.slate.shelf import Shelf
from tailorbird.slate.stages import Stages
from tailorbird.slate.wishes import Caps, boosted

COLD_START = "cold_start"
"""The model answered, but knows nothing of this user."""
PAGE_LIMIT = 1_000
"""Items of one answer at most; the cursor leads to the others."""


@dataclass(frozen=True)
class Policy:
    """What holds for every request of one model."""

    depth: int = 200
    """Candidates that are ranked."""
    keep_seen: bool = False
    max_category_share: float = 1.0
    """Of twenty consecutive places, what one category may fill while others wait."""
    exploration: Exploration = NO_EXPLORATION
    """The share of places that is drawn by chance."""


@dataclass(frozen=True)
class Recommender:
    """Answers queries with one version of one model. Everything in it is immutable; a new version is a new object."""

    name: str
    version: str
    shelf: Shelf
    chain: FallbackChain
    stages: Stages | None = None
    """None where no model can be loaded: the fallback chain answers alone."""
    policy: Policy = Policy()
    pinned: PinnedSegments | None = None
    """The segments that the chain's lists are of; None: they are of what people told."""
    filters: Sequence[Filter] = FILTERS
    newcomers: Newcomers = NO_NEWCOMERS
    """What is new, where the policy explores it: frozen, until :meth:`exploring` looks again."""
    trouble: str = field(default="no model is loaded", compare=False)

    @property
    def catalog(self) -> Catalog:
        """The items whose rows everything here is about."""
        return self.shelf.catalog

    @property
    def outcomes(self) -> tuple[str, ...]:
        """The outcomes whose weights may order answers."""
        return () if self.stages is None else self.stages.heads

    @cached_property
    def ranks_by(self) -> bytes:
        """(16,) names what of its settings decides about rankings: of two with one version, those that have it alike rank alike."""
        own = [repr(each) for each in self.filters if each not in FILTERS]
        return blake2b(
            repr((self.policy.depth, self.policy.keep_seen, own)).encode(), digest_size=16
        ).digest()

    def exploring(self, exploration: Exploration) -> "Recommender":
        """The same, a share of the places of its slates drawn by chance; of what is new by what is known of it now."""
        warmed()
        new = NO_NEWCOMERS
        if exploration.newcomers and self.stages is not None:
            new = self.stages.newcomers(
                new_days=exploration.new_days, first_impressions=exploration.first_impressions
            )
        return replace(self, policy=replace(self.policy, exploration=exploration), newcomers=new)

    def recommend(self, query: Query) -> Slate:
        """Answer a query; never raises for want of a model, a history or candidates."""
        return self.recommend_many([query])[0]

    def recommend_many(self, queries: Sequence[Query]) -> list[Slate]:
        """Answer several queries, stage by stage."""
        return [slate for slate, _ in self.recommend_and_rank(queries)]

    def recommend_and_rank(
        self, queries: Sequence[Query], *, known: Sequence[Ranking | None] | None = None
    ) -> list[tuple[Slate, Ranking | None]]:
        """The same, each slate with its ranking (None where the model failed); ``known`` ones are not made again."""
        return recommend_together([(self, query) for query in queries], known=known)

    def screen(self, query: Query) -> Screen:
        """What may be shown for this query, over the whole catalogue."""
        return Screen.of(
            query,
            Known.of(query, self.shelf, keep_seen=self.policy.keep_seen),
            self.shelf,
            filters=self.filters,
        )

    def wanted(self, query: Query, screen: Screen) -> Wanted:
        """What is ranked for this query."""
        depth = max(self.policy.depth, min(query.k, PAGE_LIMIT))
        return Wanted(query, screen, min(depth, screen.size))

    def candidates(self, queries: Sequence[Query], screens: Sequence[Screen]) -> list[Candidates]:
        """Retrieve what may be shown: what the ranker puts in order, in a request as while it learns."""
        return candidates_of(self._stages(), self._wanted(queries, screens))

    def rank(self, queries: Sequence[Query], screens: Sequence[Screen]) -> list[Ranking]:
        """Retrieve, filter and score; raises what the model raises."""
        return ranked_together(self._stages(), self._wanted(queries, screens))

    def rerank(self, query: Query, item_ids: Sequence[str]) -> Slate:
        """Put given items in the best order for this user; unknown ids come last, in the order given."""
        rows = self.catalog.rows(dict.fromkeys(item_ids)).astype(np.int64)
        unknown = [item_id for item_id, row in zip(dict.fromkeys(item_ids), rows, strict=True) if row < 0]
        known = rows[rows >= 0]
        ranking, failure = tried(lambda: self._admitted(query, known))
        if ranking is None:
            places = {row: place for place, row in enumerate(self.chain.everyone.tolist())}
            known = np.asarray(sorted(known.tolist(), key=lambda row: places.get(row, len(places))), np.int64)
            items = [SlateItem(str(self.catalog.item_ids[row]), 0.0, ()) for row in known]
        else:
            items = items_of(ranking, np.arange(len(ranking.scores)), self.catalog, explain=query.explain)
        items += [SlateItem(item_id, 0.0, ()) for item_id in unknown]
        return Slate(
            items=tuple(items),
            model_name=self.name,
            model_version=self.version,
            fallback="" if ranking is not None else EVERYONE,
            partial=bool(unknown),
            user_vector=ranking.user_vector if ranking is not None else np.zeros(0, np.float32),
            scored_at=ranking.scored_at if ranking is not None else 0.0,
            found=ranking.candidates if ranking is not None else None,
            failure=failure,
        )

    def chances(self, query: Query, item_ids: Sequence[str]) -> np.ndarray:
        """(n,) with which chance each of ``item_ids`` (n,) would stand at its place of the answer, given those above it.

        0 of what never would. Raises what the model raises.
        """
        query, screen = replace(query, k=len(item_ids)), self.screen(query)
        ranking = self._wished(query, self.rank([query], [screen])[0], screen)
        rows = self.catalog.rows(list(item_ids)).astype(np.int64)
        return self._drawer.chances(ranking, screen, query, rows, caps=Caps(self.shelf, query.wishes))

    def similar(self, query: Query) -> Slate:
        """Answer with the neighbours of ``query.item_id``, for nobody in particular."""
        screen = self.screen(query)
        ranking, failure = tried(lambda: self._neighbours(query, screen))
        alike = replace(self, policy=replace(self.policy, max_category_share=1.0, exploration=NO_EXPLORATION))
        return alike.page(query, ranking, screen=screen, failure=failure)

    def page(
        self,
        query: Query,
        ranking: Ranking | None,
        *,
        screen: Screen,
        failure: str = "",
    ) -> Slate:
        """Select one page from a ranking, filtered once more, and fill what is missing from the fallback chain."""
        asked = query.k
        query = query if query.k <= PAGE_LIMIT else replace(query, k=PAGE_LIMIT)
        k, caps = query.k, Caps(self.shelf, query.wishes)
        items: list[SlateItem] = []
        rows = np.zeros(0, np.int64)
        found: Candidates | None = None
        propensities: np.ndarray | None = None
        waiting = 0
        if ranking is not None:
            ranking = self._wished(query, ranking, screen)
            if query.draw_id and self.policy.exploration:
                ranking, chosen, propensities, waiting = self._drawn(query, ranking, screen, caps)
            else:
                chosen, waiting = select_rows(
                    ranking,
                    screen,
                    self.shelf,
                    query,
                    caps=caps,
                    max_category_share=self.policy.max_category_share,
                )
            items = items_of(ranking, chosen, self.catalog, explain=query.explain)
            found = ranking.candidates.where(chosen)
            rows = found.rows
        fallback = "" if query.state.total or query.item_id else COLD_START
        if len(items) < k:
            others, name = filled(
                self.chain.lists(self._group_of(query), screen.allowed),
                self.catalog,
                missing=k - len(items),
                caps=caps,
                taken=rows,
            )
            items += others
            fallback = name or fallback
        return Slate(
            items=tuple(items),
            model_name=self.name,
            model_version=self.version,
            fallback=fallback,
            partial=len(items) < asked,
            more=waiting > 0 or screen.size > len(items),
            removed=screen.removed,
            user_vector=ranking.user_vector if ranking is not None else np.zeros(0, np.float32),
            scored_at=ranking.scored_at if ranking is not None else 0.0,
            found=found,
            failure=failure,
            propensities=propensities,
        )

    def _drawn(
        self, query: Query, ranking: Ranking, screen: Screen, caps: Caps
    ) -> tuple[Ranking, np.ndarray, np.ndarray, int]:
        """The ranking with the new items that were drawn, the places to show, their propensities, and how many more wait."""
        chosen, more, propensities, waiting = self._drawer.draw(ranking, screen, query, caps=caps)
        return self._with_rows(query, ranking, more), chosen, propensities, waiting

    @property
    def _drawer(self) -> Drawer:
        return Drawer(self.shelf, self.policy.max_category_share, self.policy.exploration, self.newcomers)

    def _group_of(self, query: Query) -> str:
        """Whose list stands in: that of the learned segment of this instant, or of those who told the same."""
        placed = query.placed_by(self.pinned)
        return query.segment if self.pinned is None or placed is None else self.pinned.key_of(placed)

    def _wished(self, query: Query, ranking: Ranking, screen: Screen) -> Ranking:
        """The ranking with its boosts, and with the pinned items that no source proposed."""
        wishes = query.wishes
        if wishes.boosts:
            ranking = boosted(ranking, wishes.boosts, self.shelf, now=query.now)
        if not wishes.pins:
            return ranking
        rows = self.catalog.rows([pin.item_id for pin in wishes.pins]).astype(np.int64)
        rows = np.unique(rows[rows >= 0])
        return self._with_rows(
            query, ranking, rows[screen.allowed.of(rows) & ~np.isin(rows, ranking.candidates.rows)]
        )

    def _with_rows(self, query: Query, ranking: Ranking, rows: np.ndarray) -> Ranking:
        """The ranking with ``rows`` that no source proposed at its end, each with its score."""
        if not len(rows) or self.stages is None:
            return ranking
        more = self.stages.admit(query, rows)
        ((scores, _),) = self.stages.score([query], [more])
        return replace(
            ranking,
            candidates=ranking.candidates.with_more(more),
            scores=np.concatenate([ranking.scores, scores.astype(np.float32)]),
        )

    def _wanted(self, queries: Sequence[Query], screens: Sequence[Screen]) -> list[Wanted]:
        return [self.wanted(query, screen) for query, screen in zip(queries, screens, strict=True)]

    def _neighbours(self, query: Query, screen: Screen) -> Ranking:
        row = self.catalog.row_of[query.item_id or ""]
        depth = min(max(self.policy.depth, min(query.k, PAGE_LIMIT)), len(self.shelf))
        found, scores = self._stages().neighbours(row, depth=depth)
        keep = screen.allowed.of(found.rows)
        return Ranking(found.where(keep), scores[keep], np.zeros(0, np.float32), scored_at=query.now)

    def _admitted(self, query: Query, rows: np.ndarray) -> Ranking:
        stages = self._stages()
        candidates = stages.admit(query, rows)
        return ranked(candidates, *stages.score([query], [candidates])[0], at=query.now)

    def _stages(self) -> Stages:
        if self.stages is None:
            raise LookupError(self.trouble)
        return self.stages


def recommend_together(
    asked: Sequence[tuple[Recommender, Query]], *, known: Sequence[Ranking | None] | None = None
) -> list[tuple[Slate, Ranking | None]]:
    """The slates of queries to recommenders of one model, each under its recommender's settings, with their rankings.

    What the settings leave alike is done once for all: equal to asking each by itself. A ranking is None where the model
    failed; ``known`` ones are not made again.
    """
    held: list[Ranking | None] = list(known) if known is not None else [None] * len(asked)
    screens = [recommender.screen(query) for recommender, query in asked]
    open_ = [place for place, ranking in enumerate(held) if ranking is None]
    failures = dict.fromkeys(open_, "")
    if open_:
        wanted = [asked[place][0].wanted(asked[place][1], screens[place]) for place in open_]
        fresh = tried_together(asked[0][0]._stages, wanted)
        for place, (ranking, failure) in zip(open_, fresh, strict=True):
            held[place], failures[place] = ranking, failure
    return [
        (recommender.page(query, ranking, screen=screen, failure=failures.get(place, "")), ranking)
        for place, ((recommender, query), ranking, screen) in enumerate(
            zip(asked, held, screens, strict=True)
        )
    ]
