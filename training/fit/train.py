"""Training one recipe: fit, measure, register. What the same code made of the same data and recipe is not made again."""

import datetime as dt
from dataclasses import dataclass

from registry.tracking.runs import Tracker
from registry.versions import Registered, Registry
from tailorbird.recipes.recipe import Recipe
from tailorbird.segments.pinned import PinnedSegments, pinned_version
from tailorbird.settings import Settings
from training.data.dataset import Dataset
from training.fit.product import Plan, make_product, shown_to
from training.fit.steps import Steps
from training.publish.code import model_code
from training.publish.publish import publish


@dataclass(frozen=True)
class Trained:
    """The version and whether this call made it."""

    registered: Registered
    fresh: bool


def train(
    dataset: Dataset,
    recipe: Recipe,
    *,
    settings: Settings,
    seed: int,
    now: dt.datetime,
    again: bool = False,
    pinned: PinnedSegments | None = None,
) -> Trained:
    """Fit ``recipe``, measure its twin, register the bundle; with ``again`` also where it exists already.

    With ``pinned`` segments popularity is of them, and the ranker reads them where the recipe says so.
    """
    registry = Registry(settings)
    tags = {"kind": "train", "seed": str(seed), "code": model_code(), "segments": pinned_version(pinned)}
    shown = shown_to(settings, recipe)
    if shown is not None:
        tags["shown"] = shown.digest
    made_before = registry.find(data=dataset.identity.digest, recipe=recipe.digest, tags=tags)
    if made_before is not None and not again:
        return Trained(made_before, fresh=False)
    plan = Plan.of(dataset, recipe, settings=settings, seed=seed, pinned=pinned, shown=shown)
    with Tracker.open(settings).start(f"train {recipe.name}", tags=tags) as run:
        with Steps(cases=plan.protocol.test.cases.question_count) as steps:
            product = make_product(plan, recipe, on_progress=steps.show, advance=steps.advance)
        registered = publish(product, dataset=plan.dataset, run=run, registry=registry, now=now, tags=tags)
    return Trained(registered, fresh=True)
