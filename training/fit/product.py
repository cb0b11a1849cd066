"""Fitting for a workspace: a twin that stops before the test part and is measured on it, and the model it becomes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from tailorbird.evaluation.protocols import Protocol, Split
from tailorbird.exposures.learned import read_shown
from tailorbird.exposures.outcomes import Shown
from tailorbird.features.contexts import PastContexts
from tailorbird.features.items import ItemTable
from tailorbird.models.hybrid.fit import FittedHybrid, OnProgress, Progress, fit_hybrid
from tailorbird.models.hybrid.model import HybridModel
from tailorbird.models.hybrid.slates import ranker_cases
from tailorbird.models.sequence.retriever import Sequence as SequenceRetriever
from tailorbird.recipes.recipe import Recipe
from tailorbird.segments.pinned import PinnedSegments
from tailorbird.settings import Settings
from tailorbird.slate.shelf import Shelf
from training.data.dataset import Dataset, interactions_of, split
from training.data.groups import grouped
from training.data.profiles import KnownProfiles, OfflineProfiles
from training.evaluation.measure import MOST_CASES, Measured, measure, protocol_words
from training.publish.publish import Product


@dataclass(frozen=True)
class Plan:
    """What to fit on and what to ask afterwards; travels to the cluster as it is."""

    dataset: Dataset
    protocol: Protocol
    recipe: Recipe
    profiles: KnownProfiles
    contexts: PastContexts
    shelf: Shelf
    seed: int
    pinned: PinnedSegments | None = None
    shown: Shown | None = None
    """Slates with what followed, where the recipe learns from them."""

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        recipe: Recipe,
        *,
        settings: Settings,
        seed: int,
        most_cases: int = MOST_CASES,
        pinned: PinnedSegments | None = None,
        shown: Shown | None = None,
    ) -> "Plan":
        """Divide the data in time; profiles come from Feast's offline store, when they are asked for."""
        if recipe.taste != "valence":
            counted = interactions_of(dataset.events, dataset.catalog, taste=recipe.taste)
            dataset = replace(dataset, interactions=counted)
        if pinned is not None:
            dataset = grouped(dataset, pinned.model, settings=settings)
        protocol = split(
            dataset, most_cases=most_cases, exclude_seen=recipe.exclude_seen, baskets=recipe.baskets
        )
        profiles = KnownProfiles(OfflineProfiles(settings))
        shelf = Shelf.of_past(dataset.catalog, dataset.catalog.history)
        return cls(dataset, protocol, recipe, profiles, dataset.contexts, shelf, seed, pinned, shown)

    def warmed(self, part: Split) -> "Plan":
        """The plan after the profiles that fitting and measuring on ``part`` will ask for are fetched, all at once.

        Offline rows that are missing cost one pass over the log, and no trial has to make any.
        """
        fit, asked = part.fit, part.cases
        cut = float(np.quantile(fit.times, 1.0 - self.recipe.ranker.share))
        older, newer = fit.before(cut), fit.where(fit.times >= cut)
        cases = ranker_cases(older, newer, recipe=self.recipe.resolved, seed=self.seed)
        self.profiles.states_at(
            [*map(str, cases.user_keys), *asked.known.user_ids[asked.users]],
            np.concatenate([cases.instants, asked.now]),
        )
        return self


def shown_to(settings: Settings, recipe: Recipe) -> Shown | None:
    """What a recipe learns of what was shown; None where it learns from events alone."""
    if recipe.ranker.learn_from == "events":
        return None
    asked = recipe.exposures
    return read_shown(settings, worth=asked.worth, days=asked.days, most=asked.most)


@dataclass
class Clock:
    """How long each step took, in seconds."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, step: str) -> Iterator[None]:
        """Time the block."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - started


def fit_part(
    plan: Plan, part: Split, recipe: Recipe, *, on_progress: OnProgress | None = None
) -> FittedHybrid:
    """Fit ``recipe`` on the training part of ``part`` and nothing newer."""
    dataset = plan.dataset
    return fit_hybrid(
        part.fit,
        dataset.catalog,
        dataset.users,
        plan.profiles,
        dataset.events,
        recipe,
        contexts=plan.contexts,
        shelf=plan.shelf,
        pinned=plan.pinned,
        shown=None if plan.shown is None else plan.shown.before(float(part.fit.times.max(initial=0.0))),
        seed=plan.seed,
        on_progress=on_progress,
    )


def extended(model: HybridModel, dataset: Dataset) -> HybridModel:
    """The model brought up to date: its sources learn from all events; the ranker stays.

    The quick sources are fitted anew, the network goes on from its weights: what :func:`fit_hybrid` itself does with the
    part that its ranker learned from. The sources are changed in place: ``model`` must not be used afterwards.
    """
    for source in model.retrievers.values():
        if isinstance(source, SequenceRetriever):
            source.refit(dataset.interactions)
        else:
            source.fit(dataset.interactions, dataset.catalog)
    now = float(dataset.events.times.max()) / 1e6 + 1e-6
    return HybridModel(
        catalog=dataset.catalog,
        retrievers=model.retrievers,
        ranker=model.ranker,
        item_table=ItemTable.build(dataset.catalog, dataset.events, now),
        items_at=now,
        recipe=model.recipe,
        shares=model.shares,
        text_space=model.text_space,
        pinned=model.pinned,
    )


def make_product(
    plan: Plan,
    recipe: Recipe,
    *,
    on_progress: OnProgress | None = None,
    advance: Callable[[int], object] = lambda questions: None,
) -> Product:
    """Fit a twin before the test part, measure it there, then extend it over everything."""
    clock, report, test = Clock(), on_progress or (lambda progress: None), plan.protocol.test
    plan.warmed(test)
    with clock.time("fit"):
        fitted = fit_part(plan, test, recipe, on_progress=report)
    report(Progress("measure"))
    with clock.time("measure"):
        measured: Measured = measure(
            fitted.model,
            test,
            dataset=plan.dataset,
            profiles=plan.profiles,
            contexts=plan.contexts,
            shelf=plan.shelf,
            validation=plan.protocol.validation,
            advance=advance,
        )
    report(Progress("all events"))
    with clock.time("all events"):
        model = extended(fitted.model, plan.dataset)
    return Product(
        model=model,
        recipe=recipe,
        measured=measured,
        measured_before=float(np.floor(test.until)) + 1.0,
        protocol=protocol_words(plan.protocol),
        curves=fitted.curves,
        seconds=clock.seconds,
        figures=fitted.metrics,
    )


def intermediate(progress: Progress, recipe: Recipe) -> float | None:
    """The figure of a fit's step that says early how good a trial will be; None if the step has none."""
    stage, name = (
        ("sequence", "ndcg_at_10") if "sequence" in recipe.sources else ("ranker", "validation_ndcg_at_10")
    )
    return progress.figures.get(name) if progress.stage == stage else None
