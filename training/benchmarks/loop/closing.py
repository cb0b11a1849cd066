"""A loop that closes: a simulated shop whose people answer the slates that they are shown, day by day, and a model that learns of it."""

from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from tailorbird.events.columns import EventColumns
from tailorbird.events.rows import EVENTS
from tailorbird.events.schema import Event
from tailorbird.exposures.exposure import Exposure
from tailorbird.exposures.outcomes import Shown
from tailorbird.exposures.record import exposure_of
from tailorbird.features.demographics import segment_of
from tailorbird.features.history.contexts import PastContexts
from tailorbird.features.items.items import ItemTable
from tailorbird.features.profile.folding import fold_all
from tailorbird.features.profile.replay import ReplayProfiles
from tailorbird.features.profile.state import UserState
from tailorbird.models.hybrid.fit import fit_hybrid
from tailorbird.models.hybrid.model import HybridModel
from tailorbird.models.hybrid.stages import recommender_of
from tailorbird.recipes.recipe import Recipe
from tailorbird.slate.exploration import NO_EXPLORATION, Exploration
from tailorbird.slate.query import Query, Slate
from tailorbird.slate.recommender import Recommender
from tailorbird.slate.shelf import Shelf
from training.benchmarks.loop.closed_shop import DAY, ClosedShop, Request, impressions
from training.data.dataset import interactions_of

PLACES = 10
"""Items of a slate."""
AT_ONCE = 16
"""Requests that are answered together, each of another person."""


@dataclass(frozen=True)
class Way:
    """How a loop goes about it: a ``recipe``, or the ``oracle``'s order; what of its places it explores; whether it trains again."""

    name: str
    recipe: Recipe | None = None
    exploration: Exploration = NO_EXPLORATION
    retrains: bool = True

    @property
    def reads_exposures(self) -> bool:
        """Whether anything is learned of what was shown: only then it is kept, and told by the page as its impressions."""
        return self.recipe is not None and self.recipe.ranker.learn_from != "events"


@dataclass
class DayFigures:
    """What one day brought: slates, clicks on them, those that were to be expected, and what was shown."""

    slates: int = 0
    clicks: int = 0
    expected: float = 0.0
    shown: Counter[str] = field(default_factory=Counter)
    """How often each item stood on a page."""


@dataclass
class Loop:
    """One way in one shop, day after day."""

    world: ClosedShop
    way: Way
    seed: int = 0
    first: HybridModel | None = None
    """The model that it begins with; None: one is fitted."""
    figures: list[DayFigures] = field(default_factory=list)
    exposures: list[Exposure] = field(default_factory=list)
    answered: list[Event] = field(default_factory=list)
    recommender: Recommender | None = None

    def __post_init__(self) -> None:
        self._states: dict[str, UserState] = {}
        self._shelf = Shelf.of_past(self.world.catalog)
        self.model: HybridModel | None = None
        self._coming = deque(self.world.after)
        self._waiting: dict[str, list[Event]] = defaultdict(list)

    def run(self, *, learning_days: int, every: int = 1) -> Iterator[DayFigures]:
        """Every day, its figures; a model is trained anew ``every`` so many days, last when ``learning_days`` are over."""
        for day in range(self.world.days):
            due = 0 < day <= learning_days and (day % every == 0 or day == learning_days)
            self._learn(day, again=self.way.retrains and due)
            self.figures.append(DayFigures())
            self._live(self.world.requests[day])
            yield self.figures[-1]

    def _live(self, requests: Sequence[Request]) -> None:
        batch: list[Request] = []
        for request in requests:
            if len(batch) == AT_ONCE or any(each.user_id == request.user_id for each in batch):
                self._show(batch)
                batch = []
            batch.append(request)
        self._show(batch)

    def _show(self, batch: Sequence[Request]) -> None:
        if not batch:
            return
        queries = self._queries(batch)
        slates: list[tuple[tuple[str, ...], Slate | None]]
        if self.recommender is None:
            slates = [self._best(request, query) for request, query in zip(batch, queries, strict=True)]
        else:
            slates = [
                (tuple(item.item_id for item in slate.items), slate)
                for slate in self.recommender.recommend_many(queries)
            ]
        for request, query, (items, slate) in zip(batch, queries, slates, strict=True):
            events, expected = self.world.answers(request, items, recommendation_id=query.draw_id)
            today = self.figures[-1]
            today.slates += 1
            today.clicks += sum(event.type == "click" for event in events)
            today.expected += expected
            today.shown.update(items)
            if slate is not None and self.way.reads_exposures:
                self.exposures.append(self._recorded(slate, query))
                events = [*impressions(items, request, recommendation_id=query.draw_id), *events]
            self.answered += events
            self._waiting[request.user_id] += events

    def _recorded(self, slate: Slate, query: Query) -> Exposure:
        assert self.recommender is not None
        stages = self.recommender.stages
        inputs = None if stages is None or slate.found is None else stages.inputs(query, slate.found)
        return exposure_of(
            slate,
            query,
            recommendation_id=query.draw_id,
            user_id=query.state.user_key.partition(":")[2],
            anonymous_id=None,
            session_id=None,
            scenario="page",
            arm=self.way.name,
            inputs=inputs,
        )

    def _best(self, request: Request, query: Query) -> tuple[tuple[str, ...], Slate | None]:
        """What the oracle shows: what is wanted most of what the person did not have."""
        wants = self.world.shop.preferences([request.user_id], request.now)[0].copy()
        had = self._shelf.rows_of_keys(query.state.had)
        wants[had[had >= 0]] = -np.inf
        best = np.argsort(-wants, kind="stable")[:PLACES]
        return tuple(str(item) for item in self.world.catalog.item_ids[best]), None

    def _queries(self, batch: Sequence[Request]) -> list[Query]:
        """What is known of the people now: all that they did before, of themselves and on slates."""
        while self._coming and self._coming[0].event_time < batch[0].now:
            event = self._coming.popleft()
            self._waiting[str(event.user_id)].append(event)
        news = [self._waiting.pop(request.user_id, []) for request in batch]
        now = [
            [event for event in own if event.event_time < request.now]
            for own, request in zip(news, batch, strict=True)
        ]
        for request, own in zip(batch, news, strict=True):
            later = [event for event in own if event.event_time >= request.now]
            if later:
                self._waiting[request.user_id] = later
        keys = [f"user:{request.user_id}" for request in batch]
        states, _ = fold_all(
            [self._states.get(key) or UserState.empty(key) for key in keys], now, self.world.facts
        )
        self._states.update(zip(keys, states, strict=True))
        return [
            Query(
                state=state,
                now=request.now,
                k=PLACES,
                context={"device": request.device},
                demographics=self.world.people[key],
                segment=segment_of(self.world.people[key]),
                draw_id=f"{self.way.name}-{request.number}",
            )
            for key, state, request in zip(keys, states, batch, strict=True)
        ]

    def _learn(self, day: int, *, again: bool) -> None:
        """Begin a day: with a model of all that happened before it, or with the one that is there and fresh item features."""
        now = self.world.start + day * DAY
        frame = self._happened(now)
        catalog = self.world.catalog
        if day == 0:
            profiles = ReplayProfiles.of_frame(frame, catalog)
            keys = list(self.world.people)
            self._states = dict(zip(keys, profiles.states_at(keys, np.full(len(keys), now)), strict=True))
        if self.way.recipe is None:
            return
        columns = EventColumns.of_frame(frame)
        if again or (day == 0 and self.first is None):
            model = fit_model(self.world, frame, columns, self.shown(), self.way.recipe, seed=self.seed)
        elif day == 0 and self.first is not None:
            model = self.first
        else:
            assert self.model is not None
            model = self.model.with_items(ItemTable.build(catalog, columns, now), now=now)
        self.model = model
        made = recommender_of(model, name=self.way.name, version=str(day), shelf=self._shelf)
        self.recommender = made.exploring(self.way.exploration) if self.way.exploration else made

    def _happened(self, now: float) -> pd.DataFrame:
        """The log before ``now``."""
        own = [event for event in (*self.world.after, *self.answered) if event.event_time < now]
        if not own:
            return self.world.before
        more = EVENTS.table_of_rows([EVENTS.to_row(event) for event in own]).to_pandas()
        return pd.concat([self.world.before, more], ignore_index=True)

    def shown(self) -> Shown:
        """What was shown so far, with what followed."""
        assert self.way.recipe is not None
        followed = [
            (str(event.recommendation_id), str(event.item_id), event.type, event.received_time)
            for event in self.answered
        ]
        return Shown.of(self.exposures, followed, worth=self.way.recipe.exposures.worth)


def lived(
    world: ClosedShop, ways: Sequence[Way], *, seed: int, learning_days: int, every: int
) -> dict[str, list[DayFigures]]:
    """The days of each way in the same shop, by its name; all begin with the same model."""
    found: dict[str, list[DayFigures]] = {}
    first = None
    for way in ways:
        loop = Loop(world, way, seed=seed, first=first)
        found[way.name] = []
        for day in loop.run(learning_days=learning_days, every=every):
            first = first or loop.model
            found[way.name].append(day)
    return found


def fit_model(
    world: ClosedShop,
    frame: pd.DataFrame,
    columns: EventColumns,
    shown: Shown,
    recipe: Recipe,
    *,
    seed: int,
) -> HybridModel:
    """A model of a log and of what was shown."""
    return fit_hybrid(
        interactions_of(columns, world.catalog),
        world.catalog,
        world.shop.users,
        ReplayProfiles.of_frame(frame, world.catalog),
        columns,
        recipe,
        contexts=PastContexts.of(frame),
        shown=shown,
        seed=seed,
    ).model
