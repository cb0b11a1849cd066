"""Going on from a model: its weights learn what is newer, its counts are made anew, its recipe and what it reads stay."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tailorbird.evaluation.protocols import Split
from tailorbird.features.demographics import demographics_of
from tailorbird.features.items.items import ItemTable
from tailorbird.models.base import Retriever
from tailorbird.models.hybrid.fit import FittedHybrid, OnProgress, Progress, fit_ranker, lessons_of
from tailorbird.models.hybrid.model import HybridModel
from tailorbird.models.hybrid.stages import recommender_of
from tailorbird.models.ranker.ranker import Ranker
from tailorbird.models.retrievers.content import Content
from tailorbird.models.retrievers.texts import Embedded
from tailorbird.models.sequence.retriever import Sequence as SequenceRetriever
from tailorbird.slate.past import queries_at
from training.data.dataset import Dataset
from training.fit.counted import to_count
from training.fit.plan import Plan

LEAST_LESSONS = 200
"""Fewer lessons than this move a ranker by chance: it stays as it is."""


def extended(
    model: HybridModel,
    dataset: Dataset,
    *,
    sources: Mapping[str, Retriever] | None = None,
    since: float | None = None,
) -> HybridModel:
    """The model brought up to date: its sources learn from all events; the ranker stays.

    The quick sources are fitted anew, the network goes on from its weights: what :func:`fit_hybrid` itself does with the
    part that its ranker learned from. The sources are changed in place, those given or the model's, which must not be used
    afterwards then. With ``since`` the network learns only what arrived later, as it knows the rest.
    """
    sources = model.retrievers if sources is None else sources
    for source in sources.values():
        if isinstance(source, SequenceRetriever):
            source.refit(dataset.interactions, since=since)
        else:
            source.fit(dataset.interactions, dataset.catalog)
    now = float(dataset.events.times.max()) / 1e6 + 1e-6
    return HybridModel(
        catalog=dataset.catalog,
        retrievers=sources,
        ranker=model.ranker,
        item_table=ItemTable.build(dataset.catalog, dataset.events, now),
        items_at=now,
        recipe=model.recipe,
        shares=model.shares,
        text_space=model.text_space,
        pinned=model.pinned,
    )


def go_on(plan: Plan, part: Split, parent: HybridModel, *, on_progress: OnProgress) -> FittedHybrid:
    """``parent`` after it has learned the training part of ``part``, of which it knows what had arrived by ``plan.learned``.

    The ranker learns out of time, as it does from nothing: from cases after ``plan.learned``, with candidates of sources that
    never saw them. Then the sources learn: the network what is newer, the others count everything.
    """
    assert plan.learned is not None
    on_progress(Progress(""))
    sources = _carried(parent, plan, on_progress=on_progress)
    on_progress(Progress("ranker"))
    known = extended(parent, _known(plan.dataset, part, plan.learned), sources=sources, since=plan.learned)
    ranker, curves = _taught(plan, part, known, on_progress=on_progress)
    on_progress(Progress("refit"))
    model = extended(known, _until(plan.dataset, part, part.until), since=plan.learned).with_ranker(ranker)
    named = {f"ranker.{name}": values for name, values in curves.items()}
    for source in sources.values():
        if isinstance(source, SequenceRetriever):
            named.update({f"sequence.{name}": values for name, values in source.curves.items()})
    return FittedHybrid(model, named, {})


def _carried(parent: HybridModel, plan: Plan, *, on_progress: OnProgress) -> dict[str, Retriever]:
    """The parent's sources for the items of today: the network as it is, the others to be fitted. The parent stays as it is."""
    dataset, recipe, space = plan.dataset, parent.recipe.resolved, parent.text_space
    texts = None if space is None else Embedded(space, space.vectors(dataset.catalog.texts))

    def on_epoch(epoch: int, figures: dict[str, float]) -> None:
        on_progress(Progress("sequence", epoch, recipe.sequence.refit_epochs, figures))

    sources: dict[str, Retriever] = {}
    for name, source in parent.retrievers.items():
        if isinstance(source, SequenceRetriever):
            assert texts is not None
            rows = parent.catalog.rows(dataset.catalog.item_ids)
            sources[name] = source.moved(rows, texts.vectors, seed=plan.seed, on_epoch=on_epoch)
        elif isinstance(source, Content):
            sources[name] = Content(recipe.content, texts=texts)
        else:
            counted = to_count(name, parent, dataset.users, dataset.interactions.user_ids)
            assert counted is not None, name
            sources[name] = counted
    return sources


def _known(dataset: Dataset, part: Split, instant: float) -> Dataset:
    """The data set as far as it had happened and arrived by an instant, of the training part."""
    return replace(
        dataset,
        interactions=part.fit.where(part.fit.heard <= instant),
        events=dataset.events.where(
            np.maximum(dataset.events.times, dataset.events.received) <= round(instant * 1e6)
        ),
    )


def _until(dataset: Dataset, part: Split, instant: float) -> Dataset:
    """The data set as far as it happened until an instant, of the training part."""
    return replace(
        dataset,
        interactions=part.fit.where(part.fit.times <= instant),
        events=dataset.events.where(dataset.events.times <= round(instant * 1e6)),
    )


def _taught(
    plan: Plan, part: Split, known: HybridModel, *, on_progress: OnProgress
) -> tuple[Ranker, Mapping[str, list[float]]]:
    """The ranker after the lessons since; as it is where these are few."""
    cases = plan.lessons(part)
    recommender = recommender_of(known, shelf=plan.shelf)
    queries = queries_at(
        cases.user_keys,
        cases.instants,
        profiles=plan.profiles,
        people=demographics_of(plan.dataset.users),
        contexts=plan.contexts,
        k=1,
    )
    lessons = lessons_of(
        known,
        recommender,
        queries,
        cases.targets,
        shown=None if plan.shown is None else plan.shown.before(part.until),
        seed=plan.seed,
        profiles=plan.profiles,
        table_at=lambda at: ItemTable.build(plan.dataset.catalog, plan.dataset.events, at),
    )
    blind = (
        bool(known.ranker.heads) and lessons.shown is None
    )  # its heads read what slates alone would teach anew
    if blind or len(lessons) < LEAST_LESSONS:
        return known.ranker, {}
    return fit_ranker(known, lessons, seed=plan.seed, report=on_progress, goes_on=True)
