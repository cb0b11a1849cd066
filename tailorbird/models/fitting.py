"""Fitting a hybrid: retrievers on the older events, the ranker out of time on the newer, then everything once more."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from tailorbird.catalog import Catalog, Users
from tailorbird.features.context import context_vector
from tailorbird.features.cross import cross_matrix
from tailorbird.features.functions import NOBODY, Demographics, demographics_of, user_vector
from tailorbird.features.items import ItemTable, item_matrix
from tailorbird.features.profiles import ProfileSource
from tailorbird.features.table import CONTEXT_FEATURES, CROSS_FEATURES, ITEM_FEATURES, USER_FEATURES
from tailorbird.interactions import Histories, Interactions
from tailorbird.models.base import Retriever
from tailorbird.models.content import Content, text_vectors
from tailorbird.models.cooccurrence import Cooccurrence
from tailorbird.models.hybrid import HybridModel, with_segments
from tailorbird.models.popularity import Popularity
from tailorbird.models.ranker import Ranker
from tailorbird.models.ranker_training import Slates, train_ranker
from tailorbird.models.recency import interactions_without_runs
from tailorbird.models.segments import segments_of
from tailorbird.models.sequence import Sequence
from tailorbird.models.shortlist import SIGNALS, Shortlist
from tailorbird.recipe import Recipe

LEAST_SHARE = 0.1
"""Turns that even the weakest source gets in the shortlist, against 1 for the strongest."""
FEWEST_CASES = 50
BATCH = 256


@dataclass(frozen=True)
class Progress:
    """One step done: epoch ``step`` of ``total`` of a stage (0 of 0: the stage begins), with its figures."""

    stage: str
    step: int = 0
    total: int = 0
    figures: Mapping[str, float] = field(default_factory=dict)


OnProgress = Callable[[Progress], None]
"""Hears of every step; whatever it raises ends the fitting (that is how tuning prunes)."""


@dataclass(frozen=True)
class FittedHybrid:
    """The model, its learning curves by stage (``sequence.loss``, ``ranker.validation_loss`` …) and its figures.

    ``metrics`` are measured on the newer part before the last fit: ``recall_at_200.<source>`` and the ranker's
    ``validation_ndcg_at_10`` among the candidates.
    """

    model: HybridModel
    curves: Mapping[str, list[float]]
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Cases:
    """Newer events to learn the ranking from: history, profile owner and instant of each, and the item taken."""

    histories: Histories
    user_ids: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.targets)

    def some(self, at_most: int) -> "Cases":
        """At most so many, spread evenly over time."""
        rows = np.arange(0, len(self), max(1, -(-len(self) // at_most)))
        return Cases(self.histories.take(rows), self.user_ids[rows], self.targets[rows])


def fit_hybrid(
    interactions: Interactions,
    catalog: Catalog,
    users: Users,
    profiles: ProfileSource,
    events: pd.DataFrame,
    recipe: Recipe,
    *,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> FittedHybrid:
    """Fit every source and the ranker.

    The newest ``recipe.ranker.share`` of the interactions trains the ranker: its candidates come from retrievers that
    never saw them, its item features from events before them, its profiles from ``profiles`` at each instant. Then the
    retrievers learn from everything: the quick ones anew, the network going on from its weights.
    """
    report = on_progress or (lambda progress: None)
    recipe = recipe.resolved
    people = demographics_of(users)
    cut = _cut(interactions, recipe.ranker.share)
    older, newer = interactions.before(cut), interactions.where(interactions.times >= cut)
    sources = _sources(recipe, catalog, segments_of(users, interactions.user_ids), seed=seed, report=report)
    for name, source in sources.items():
        report(Progress(name))
        if isinstance(source, Sequence):
            source.fit(older, catalog, validation=newer)
        else:
            source.fit(older, catalog)
    model = _assembled(
        catalog, sources, recipe, people, table=ItemTable.build(catalog, events, cut), items_at=cut
    )
    cases = newer_cases(older, newer, recipe=recipe, seed=seed)
    shares, metrics = _recalls(model, cases)
    model = _assembled(catalog, sources, recipe, people, table=model.item_table, items_at=cut, shares=shares)
    report(Progress("ranker"))
    ranker, curves = _fit_ranker(model, cases, profiles, seed=seed, report=report)
    if "validation_ndcg_at_10" in curves:
        metrics["validation_ndcg_at_10"] = max(curves["validation_ndcg_at_10"])
    report(Progress("refit"))
    for source in sources.values():
        if isinstance(source, Sequence):
            source.refit(interactions)
        else:
            source.fit(interactions, catalog)
    now = float(interactions.times.max(initial=0.0)) + 1e-6
    fitted = _assembled(
        catalog,
        sources,
        recipe,
        people,
        table=ItemTable.build(catalog, events, now),
        items_at=now,
        shares=shares,
        ranker=ranker,
    )
    named = {f"ranker.{name}": values for name, values in curves.items()}
    for source in sources.values():
        if isinstance(source, Sequence):
            named.update({f"sequence.{name}": values for name, values in source.curves.items()})
    return FittedHybrid(fitted, named, metrics)


def newer_cases(older: Interactions, newer: Interactions, *, recipe: Recipe, seed: int) -> Cases:
    """Up to ``recipe.ranker.cases`` of the newer events, oldest first, each with its user's history until then.

    Where seen items are never answered, only events on an item that is new to the user are cases. Users without
    older events are among them: the ranker must know what to do with little history.
    """
    both = interactions_without_runs(
        Interactions.of(
            users=np.concatenate([older.users, newer.users]),
            items=np.concatenate([older.items, newer.items]),
            times=np.concatenate([older.times, newer.times]),
            weights=np.concatenate([older.weights, newer.weights]),
            user_ids=older.user_ids,
            item_count=older.item_count,
        )
    )
    asked = both.times >= newer.times.min(initial=np.inf)
    if recipe.exclude_seen:
        pairs = both.users.astype(np.int64) * both.item_count + both.items
        first = np.zeros(len(both), bool)
        first[np.unique(pairs, return_index=True)[1]] = True
        asked &= first
    rows = np.flatnonzero(asked)
    if len(rows) > recipe.ranker.cases:
        rows = np.random.default_rng(seed).choice(rows, recipe.ranker.cases, replace=False)
    rows = rows[np.argsort(both.times[rows], kind="stable")]
    histories = both.slices(both.indptr[both.users[rows]], rows, now=both.times[rows])
    return Cases(histories, both.user_ids[both.users[rows]], both.items[rows].astype(np.int64))


def _cut(interactions: Interactions, share: float) -> float:
    if not len(interactions):
        return 0.0
    return float(np.quantile(interactions.times, 1.0 - min(max(share, 0.0), 0.9)))


def _sources(
    recipe: Recipe, catalog: Catalog, segments: np.ndarray, *, seed: int, report: OnProgress
) -> dict[str, Retriever]:
    content = text_vectors(catalog, recipe.content) if "sequence" in recipe.sources else None

    def on_epoch(epoch: int, figures: dict[str, float]) -> None:
        report(Progress("sequence", epoch, recipe.sequence.epochs, figures))

    made: dict[str, Retriever] = {
        "popularity": Popularity(recipe.popularity, user_segments=segments),
        "cooccurrence": Cooccurrence(recipe.cooccurrence),
        "content": Content(recipe.content),
        "sequence": Sequence(recipe.sequence, content=content, seed=seed, on_epoch=on_epoch),
    }
    return {name: made[name] for name in recipe.sources}


def _assembled(
    catalog: Catalog,
    sources: Mapping[str, Retriever],
    recipe: Recipe,
    people: Mapping[str, Demographics],
    *,
    table: ItemTable,
    items_at: float,
    shares: Mapping[str, float] | None = None,
    ranker: Ranker | None = None,
) -> HybridModel:
    return HybridModel(
        catalog=catalog,
        retrievers=sources,
        ranker=ranker or Ranker.of_sources(len(sources), _sizes(len(sources))),
        item_table=table,
        items_at=items_at,
        recipe=recipe,
        shares=shares,
        people=people,
    )


def _sizes(sources: int) -> dict[str, int]:
    return {
        "signals": SIGNALS * sources,
        "item": len(ITEM_FEATURES),
        "cross": len(CROSS_FEATURES),
        "user": len(USER_FEATURES),
        "context": len(CONTEXT_FEATURES),
    }


def _recalls(
    model: HybridModel, cases: Cases, *, at_most: int = 1000
) -> tuple[dict[str, float], dict[str, float]]:
    """Each source's recall among as many as are ranked, and the turns that follow from it."""
    some = cases.some(at_most)
    hits, union = np.zeros(len(model.source_names)), 0
    for i, found in _shortlists(model, some):
        place = np.flatnonzero(found.rows == some.targets[i])
        if len(place):
            union += 1
            hits += found.ranks[place[0]] >= 0
    recall = hits / max(len(some), 1)
    best = max(float(recall.max(initial=0.0)), 1e-9)
    shares = {
        name: max(LEAST_SHARE, float(value) / best)
        for name, value in zip(model.source_names, recall, strict=True)
    }
    at = f"recall_at_{model.recipe.candidates}"
    metrics = {f"{at}.{name}": float(value) for name, value in zip(model.source_names, recall, strict=True)}
    metrics[f"{at}.union"] = union / max(len(some), 1)
    return shares, metrics


def _shortlists(model: HybridModel, cases: Cases) -> Iterator[tuple[int, Shortlist]]:
    """The candidates of every case, in its user's segment."""
    people = [model.people.get(str(user), NOBODY) for user in cases.user_ids]
    for start in range(0, len(cases), BATCH):
        stop = min(start + BATCH, len(cases))
        histories = with_segments(cases.histories[start:stop], people[start:stop])
        exclude = [histories.seen(i) for i in range(len(histories))] if model.recipe.exclude_seen else None
        found = model.candidates(histories, model.recipe.candidates, exclude=exclude)
        yield from zip(range(start, stop), found, strict=True)


def _fit_ranker(
    model: HybridModel, cases: Cases, profiles: ProfileSource, *, seed: int, report: OnProgress
) -> tuple[Ranker, dict[str, list[float]]]:
    recipe = model.recipe.ranker
    if len(cases) < FEWEST_CASES:
        return model.ranker, {}
    slates = slates_of(model, cases, profiles, negatives=recipe.negatives, seed=seed)
    held = np.arange(len(slates)) >= int(0.85 * len(slates))  # the newest: slates come oldest first

    def on_epoch(epoch: int, figures: dict[str, float]) -> None:
        report(Progress("ranker", epoch, recipe.epochs, figures))

    return train_ranker(
        slates.where(~held),
        sources=len(model.source_names),
        recipe=recipe,
        seed=seed,
        validation=slates.where(held),
        on_epoch=on_epoch,
    )


def slates_of(
    model: HybridModel, cases: Cases, profiles: ProfileSource, *, negatives: int, seed: int
) -> Slates:
    """One slate a case whose target is among the candidates: the target first, then ``negatives`` drawn of the others."""
    rng = np.random.default_rng(seed)
    states = profiles.states_at([str(user) for user in cases.user_ids], cases.histories.now)
    items = item_matrix(model.item_table, now=model.items_at)
    width, sizes = negatives + 1, _sizes(len(model.source_names))
    m = 0
    signals = np.zeros((len(cases), width, sizes["signals"]), np.float32)
    rows = np.zeros((len(cases), width), np.int64)
    cross = np.zeros((len(cases), width, sizes["cross"]), np.float32)
    users = np.zeros((len(cases), sizes["user"]), np.float32)
    contexts = np.zeros((len(cases), sizes["context"]), np.float32)
    real = np.zeros((len(cases), width), bool)
    for i, found in _shortlists(model, cases):
        place = np.flatnonzero(found.rows == cases.targets[i])
        if not len(place) or len(found) < 2:
            continue
        state, now = states[i], float(cases.histories.now[i])
        others = rng.permutation(np.delete(np.arange(len(found)), place[0]))[:negatives]
        chosen = found.where(np.concatenate([place, others]))
        count = len(chosen)
        rows[m, :count], signals[m, :count], real[m, :count] = chosen.rows, chosen.signals, True
        cross[m, :count] = cross_matrix(state, model.item_table, chosen.rows, now=now)
        users[m] = user_vector(state, now=now, demographics=model.people.get(state.user_key, NOBODY))
        contexts[m] = context_vector(None, now=now)
        m += 1
    return Slates(signals[:m], items[rows[:m]], cross[:m], users[:m], contexts[:m], real[:m])
