"""One trial of a study, as it runs in a Ray worker: fit with the trial's values, report epochs, measure on validation."""

import time
from collections.abc import Mapping

from tailorbird.models.hybrid.fit import Progress
from training.evaluation.measure import value_of
from training.fit.plan import Plan
from training.fit.product import fit_part, intermediate
from training.tuning.pool import Tell
from training.tuning.search import Outcome
from training.tuning.space import Value


def run_trial(plan: Plan, params: Mapping[str, Value], tell: Tell) -> Outcome:
    """Fit ``plan.recipe`` with ``params`` before the validation part and rank its cases."""
    recipe = plan.recipe.override(params)
    validation = plan.protocol.validation
    steps = 0

    def on_progress(progress: Progress) -> None:
        nonlocal steps
        value = intermediate(progress, recipe)
        if value is not None:
            tell(steps, value)
            steps += 1

    started = time.perf_counter()
    fitted = fit_part(plan, validation, recipe, on_progress=on_progress)
    fit_seconds = time.perf_counter() - started
    value = value_of(
        fitted.model,
        validation.cases,
        users=plan.dataset.users,
        profiles=plan.profiles,
        contexts=plan.contexts,
        shelf=plan.shelf,
    )
    seconds = {"fit": fit_seconds, "measure": time.perf_counter() - started - fit_seconds}
    return Outcome(
        "COMPLETE",
        value=value,
        figures={"fit": dict(fitted.metrics), "seconds": seconds},
        curves=fitted.curves,
    )
