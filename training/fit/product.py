"""Fitting for a workspace: a twin that stops before the test part and is measured on it, and the model it becomes."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tailorbird.evaluation.protocols import Split
from tailorbird.models.hybrid.fit import FittedHybrid, OnProgress, Progress, fit_hybrid
from tailorbird.models.hybrid.model import HybridModel
from tailorbird.recipes.recipe import Recipe
from training.evaluation.measure import Measured, measure, protocol_words
from training.fit.going_on import extended, go_on
from training.fit.plan import Plan
from training.publish.publish import Product


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


def make_product(
    plan: Plan,
    recipe: Recipe,
    *,
    parent: HybridModel | None = None,
    on_progress: OnProgress | None = None,
    advance: Callable[[int], object] = lambda questions: None,
    off_policy: Callable[[HybridModel, float], Mapping[str, Any]] = lambda twin, since: {},
) -> Product:
    """Fit a twin before the test part, measure it there, then extend it over everything.

    ``off_policy`` says of the twin what it would have earned with answers that it has not learned from.
    With a ``parent`` twin and model go on from it (``plan.learned`` says until when it has learned).
    """
    clock, report, test = Clock(), on_progress or (lambda progress: None), plan.protocol.test
    plan.warmed(test)
    with clock.time("fit"):
        if parent is None:
            fitted = fit_part(plan, test, recipe, on_progress=report)
        else:
            fitted = go_on(plan, test, parent, on_progress=report)
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
        earned = off_policy(fitted.model, test.until)
    report(Progress("all events"))
    with clock.time("all events"):
        model = extended(fitted.model, plan.dataset, since=plan.learned)
    return Product(
        model=model,
        recipe=recipe,
        measured=measured,
        measured_before=float(np.floor(test.until)) + 1.0,
        protocol=protocol_words(plan.protocol),
        curves=fitted.curves,
        seconds=clock.seconds,
        figures=fitted.metrics,
        off_policy=earned,
    )


def intermediate(progress: Progress, recipe: Recipe) -> float | None:
    """The figure of a fit's step that says early how good a trial will be; None if the step has none."""
    stage, name = (
        ("sequence", "ndcg_at_10") if "sequence" in recipe.sources else ("ranker", "validation_ndcg_at_10")
    )
    return progress.figures.get(name) if progress.stage == stage else None
