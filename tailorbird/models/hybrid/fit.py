"""Fitting a hybrid: retrievers on the older events, the ranker out of time on the newer, then everything once more."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tailorbird.catalog.catalog import Catalog, Users
from tailorbird.events.columns import EventColumns
from tailorbird.events.interactions import Interactions
from tailorbird.exposures.outcomes import Shown
from tailorbird.features.demographics import demographics_of, segments_of
from tailorbird.features.history.contexts import NO_CONTEXTS, PastContexts
from tailorbird.features.items.items import ItemTable
from tailorbird.features.profile.source import ProfileSource
from tailorbird.models.base import Retriever
from tailorbird.models.hybrid.model import HybridModel
from tailorbird.models.hybrid.shown import TableAt, shown_slates
from tailorbird.models.hybrid.slates import candidates_of, input_sizes, ranker_cases, slates_of
from tailorbird.models.hybrid.stages import recommender_of
from tailorbird.models.ranker.ranker import Ranker
from tailorbird.models.ranker.training import Lessons, kept_epoch, train_ranker
from tailorbird.models.retrievers.content import Content
from tailorbird.models.retrievers.cooccurrence import Cooccurrence
from tailorbird.models.retrievers.habit import Habit
from tailorbird.models.retrievers.popularity import Popularity
from tailorbird.models.retrievers.texts import Embedded, TextSpace
from tailorbird.models.sequence.retriever import Sequence as SequenceRetriever
from tailorbird.recipes.recipe import Recipe
from tailorbird.segments.pinned import PinnedSegments
from tailorbird.slate.past import queries_at
from tailorbird.slate.query import Query
from tailorbird.slate.recommender import Recommender
from tailorbird.slate.shelf import Shelf

LEAST_SHARE = 0.1
"""Turns that even the weakest source gets in the shortlist, against 1 for the strongest."""
FEWEST_CASES = 50
RECALL_CASES = 1000
_READ_TEXTS = {Content.name, SequenceRetriever.name}


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

    ``metrics`` are measured on the newer part before the last fit: ``recall_at_200.<source>`` and, of the epoch that is
    kept, the ranker's ``validation_ndcg_at_10`` among the candidates.
    """

    model: HybridModel
    curves: Mapping[str, list[float]]
    metrics: Mapping[str, float]


def fit_hybrid(
    interactions: Interactions,
    catalog: Catalog,
    users: Users,
    profiles: ProfileSource,
    events: EventColumns,
    recipe: Recipe,
    *,
    contexts: PastContexts = NO_CONTEXTS,
    shelf: Shelf | None = None,
    pinned: PinnedSegments | None = None,
    shown: Shown | None = None,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> FittedHybrid:
    """Fit every source and the ranker.

    The newest ``recipe.ranker.share`` of the interactions trains the ranker: its candidates come, through the
    recommender that serves, from retrievers that never saw them, its item features from events before them, its profiles
    from ``profiles`` and its contexts from ``contexts`` at each instant, the stock of that time from ``shelf``. To the share ``recipe.ranker.new_items`` of the
    items nothing has happened yet while it learns, so that it meets what is new. Then the retrievers learn from
    everything: the quick ones anew, the network going on from its weights.

    Where the recipe says so, the ranker also learns, or only, from slates as they were ``shown``.

    ``pinned`` segments are features of the ranker where the recipe says so, and popularity is counted by the segment that
    each user was in at the time (``interactions.groups``).
    """
    report = _silent if on_progress is None else on_progress
    recipe = recipe.resolved
    people = demographics_of(users)
    cut = _cut(interactions, recipe.ranker.share)
    older, newer = interactions.before(cut), interactions.where(interactions.times >= cut)
    texts = Embedded.of(catalog.texts, recipe.content) if _READ_TEXTS & set(recipe.sources) else None
    if pinned is not None and interactions.groups is None:
        raise ValueError("segments are pinned, but interactions do not say who was in which of them")
    popular = (
        Popularity(recipe.popularity, user_segments=segments_of(users, interactions.user_ids))
        if pinned is None
        else Popularity(recipe.popularity, learned=pinned.model.keys)
    )
    sources = _sources(recipe, texts, popular, seed=seed, report=report)
    new = new_items(older, share=recipe.ranker.new_items, seed=seed)
    for name, source in sources.items():
        report(Progress(name))
        if isinstance(source, SequenceRetriever):
            source.fit(older, catalog, validation=newer, exclude_seen=recipe.exclude_seen)
        else:
            source.fit(older.where(~new[older.items]), catalog)
    past = {
        name: source.forgetting(new) if isinstance(source, SequenceRetriever) and new.any() else source
        for name, source in sources.items()
    }
    told = events.without_items(catalog.item_ids[new]) if new.any() else events
    table = ItemTable.build(catalog, told, cut)
    model = _assembled(catalog, past, recipe, table=table, items_at=cut, pinned=pinned)
    cases = ranker_cases(older, newer, recipe=recipe, seed=seed)
    queries = queries_at(
        cases.user_keys, cases.instants, profiles=profiles, people=people, contexts=contexts, k=1
    )
    some = cases.some(RECALL_CASES)
    shares, metrics = _recalls(
        recommender_of(model, shelf=shelf),
        [queries[place] for place in some],
        cases.targets[some],
        model=model,
    )
    model = _assembled(catalog, past, recipe, table=table, items_at=cut, shares=shares, pinned=pinned)
    report(Progress("ranker"))
    lessons = lessons_of(
        model,
        recommender_of(model, shelf=shelf),
        queries,
        cases.targets,
        shown=shown,
        seed=seed,
        profiles=profiles,
        table_at=lambda at: ItemTable.build(catalog, events, at),
    )
    ranker, curves = fit_ranker(model, lessons, seed=seed, report=report)
    if "validation_ndcg_at_10" in curves:
        metrics["validation_ndcg_at_10"] = curves["validation_ndcg_at_10"][kept_epoch(curves)]
    report(Progress("refit"))
    for source in sources.values():
        if isinstance(source, SequenceRetriever):
            source.refit(interactions)
        else:
            source.fit(interactions, catalog)
    now = float(interactions.times.max(initial=0.0)) + 1e-6
    fitted = _assembled(
        catalog,
        sources,
        recipe,
        table=ItemTable.build(catalog, events, now),
        items_at=now,
        shares=shares,
        ranker=ranker,
        text_space=None if texts is None else texts.space,
        pinned=pinned,
    )
    named = {f"ranker.{name}": values for name, values in curves.items()}
    for source in sources.values():
        if isinstance(source, SequenceRetriever):
            named.update({f"sequence.{name}": values for name, values in source.curves.items()})
    return FittedHybrid(fitted, named, metrics)


def _silent(progress: Progress) -> None:
    """Nobody listens."""


def new_items(older: Interactions, *, share: float, seed: int) -> np.ndarray:
    """(n_items,) bool: the ``share`` of the items with events, drawn by ``seed``, that are taken to be new."""
    known = np.flatnonzero(np.bincount(older.items, minlength=older.item_count))
    new = np.zeros(older.item_count, bool)
    new[np.random.default_rng([seed, 7]).permutation(known)[: int(share * len(known))]] = True
    return new


def _cut(interactions: Interactions, share: float) -> float:
    if not len(interactions):
        return 0.0
    return float(np.quantile(interactions.times, 1.0 - min(max(share, 0.0), 0.9)))


def _sources(
    recipe: Recipe, texts: Embedded | None, popularity: Popularity, *, seed: int, report: OnProgress
) -> dict[str, Retriever]:
    content = None if texts is None else texts.vectors

    def on_epoch(epoch: int, figures: dict[str, float]) -> None:
        report(Progress("sequence", epoch, recipe.sequence.epochs, figures))

    made: dict[str, Retriever] = {
        "popularity": popularity,
        "cooccurrence": Cooccurrence(recipe.cooccurrence),
        "content": Content(recipe.content, texts=texts),
        "habit": Habit(recipe.habit),
        "sequence": SequenceRetriever(recipe.sequence, content=content, seed=seed, on_epoch=on_epoch),
    }
    return {name: made[name] for name in recipe.sources}


def _assembled(
    catalog: Catalog,
    sources: Mapping[str, Retriever],
    recipe: Recipe,
    *,
    table: ItemTable,
    items_at: float,
    shares: Mapping[str, float] | None = None,
    ranker: Ranker | None = None,
    text_space: TextSpace | None = None,
    pinned: PinnedSegments | None = None,
) -> HybridModel:
    reads = pinned is not None and recipe.ranker.segments
    sizes = input_sizes(len(sources), segments=reads)
    return HybridModel(
        catalog=catalog,
        retrievers=sources,
        ranker=ranker or Ranker.of_sources(len(sources), sizes),
        item_table=table,
        items_at=items_at,
        recipe=recipe,
        shares=shares,
        text_space=text_space,
        pinned=pinned,
    )


def _recalls(
    recommender: Recommender, queries: Sequence[Query], targets: np.ndarray, *, model: HybridModel
) -> tuple[dict[str, float], dict[str, float]]:
    """Each source's recall among as many as are ranked, and the turns that follow from it."""
    hits, union = np.zeros(len(model.source_names)), 0
    for i, found in candidates_of(recommender, queries):
        place = np.flatnonzero(found.rows == targets[i])
        if len(place):
            union += 1
            hits += found.ranks[place[0]] >= 0
    recall = hits / max(len(queries), 1)
    best = max(float(recall.max(initial=0.0)), 1e-9)
    shares = {
        name: max(LEAST_SHARE, float(value) / best)
        for name, value in zip(model.source_names, recall, strict=True)
    }
    at = f"recall_at_{model.recipe.candidates}"
    metrics = {f"{at}.{name}": float(value) for name, value in zip(model.source_names, recall, strict=True)}
    metrics[f"{at}.union"] = union / max(len(queries), 1)
    return shares, metrics


def lessons_of(
    model: HybridModel,
    recommender: Recommender,
    queries: Sequence[Query],
    targets: np.ndarray,
    *,
    shown: Shown | None,
    seed: int,
    profiles: ProfileSource,
    table_at: TableAt,
) -> Lessons:
    """What the ranker learns from, oldest first: as the recipe says, but from events where too little was shown."""
    recipe = model.recipe.ranker
    slates = None
    if recipe.learn_from != "events" and shown is not None and len(shown) >= FEWEST_CASES:
        slates = shown_slates(shown, model, profiles=profiles, table_at=table_at)
    if slates is not None and len(slates) < FEWEST_CASES:
        slates = None
    cases = None
    if (recipe.learn_from != "exposures" or slates is None) and len(queries) >= FEWEST_CASES:
        cases = slates_of(model, recommender, queries, targets, negatives=recipe.negatives, seed=seed)
    return Lessons(cases, slates, model.recipe.exposures.weight)


def fit_ranker(
    model: HybridModel, lessons: Lessons, *, seed: int, report: OnProgress, goes_on: bool = False
) -> tuple[Ranker, dict[str, list[float]]]:
    """The model's ranker after ``lessons``, its epoch chosen on the newest of them; ``goes_on`` from its weights."""
    recipe = model.recipe.ranker
    if not len(lessons):
        return model.ranker, {}

    def on_epoch(epoch: int, figures: dict[str, float]) -> None:
        report(Progress("ranker", epoch, recipe.epochs, figures))

    older, newer = lessons.divided(0.85)
    return train_ranker(
        older,
        sources=len(model.source_names),
        recipe=recipe,
        seed=seed,
        validation=newer,
        parent=model.ranker if goes_on else None,
        on_epoch=on_epoch,
    )
