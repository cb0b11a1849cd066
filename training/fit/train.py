"""Training one recipe: fit, measure, register. What the same code made of the same data and recipe is not made again."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from registry.tracking.runs import Tracker
from registry.versions.forgetting import LEARNED_AT
from registry.versions.versions import Registered, Registry
from tailorbird.models.hybrid.model import HybridModel
from tailorbird.recipes.recipe import Recipe
from tailorbird.segments.pinned import PinnedSegments, pinned_version
from tailorbird.settings import Settings
from training.data.dataset import Dataset
from training.evaluation.replayed import twin_off_policy
from training.fit.plan import Plan, shown_to
from training.fit.product import make_product
from training.fit.steps import Steps
from training.publish.code import model_code
from training.publish.publish import publish

GOES_ON, WENT_ON = "goes_on_from", "went_on"
"""The tags of a version that goes on from another: from which, and how many in a row do by now."""
TAKEN_BACK = "taken_back"
"""The tag with the instant (epoch microseconds) before which no basis covered anything that was learned."""
NO_TAGS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Parent:
    """A version that another goes on from: its model, and by when (epoch seconds) all had arrived that it has learned.

    ``read`` is the instant before which nothing of what it has learned was made (``registry.versions.forgetting``).
    """

    version: Registered
    model: HybridModel
    learned: float
    read: float

    @property
    def tags(self) -> dict[str, str]:
        """Of the version that goes on."""
        return {
            GOES_ON: str(self.version.version),
            WENT_ON: str(int(self.version.tags.get(WENT_ON, "0")) + 1),
            LEARNED_AT: dt.datetime.fromtimestamp(self.read, dt.UTC).isoformat(),
        }


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
    anew: bool = True,
    pinned: PinnedSegments | None = None,
    parent: Parent | None = None,
    off_policy: bool = False,
    more_tags: Mapping[str, str] = NO_TAGS,
) -> Trained:
    """Fit ``recipe``, measure its twin, register the bundle with ``more_tags``; with ``again`` also where it exists already.

    With ``anew`` a version that went on from another is none that exists: it learned the same data otherwise.
    With ``off_policy`` our own answers are asked what its twin would have earned. With a ``parent`` it goes on from that version instead of beginning from nothing.
    With ``pinned`` segments popularity is of them, and the ranker reads them where the recipe says so.
    """
    registry = Registry(settings)
    tags = {"kind": "train", "seed": str(seed), "code": model_code(), "segments": pinned_version(pinned)}
    if parent is not None:
        tags |= parent.tags
    shown = shown_to(settings, recipe)
    if shown is not None:
        tags["shown"] = shown.digest
    unlike = (GOES_ON,) if anew and parent is None else ()
    made_before = registry.find(data=dataset.identity.digest, recipe=recipe.digest, tags=tags, without=unlike)
    if made_before is not None and not again:
        return Trained(made_before, fresh=False)
    published = {**tags, **more_tags, TAKEN_BACK: str(dataset.taken_back)}
    plan = Plan.of(
        dataset,
        recipe,
        settings=settings,
        seed=seed,
        pinned=pinned,
        shown=shown,
        learned=parent.learned if parent else None,
    )
    with Tracker.open(settings).start(f"train {recipe.name}", tags=tags) as run:
        with Steps(cases=plan.protocol.test.cases.question_count) as steps:
            product = make_product(
                plan,
                recipe,
                parent=parent.model if parent else None,
                on_progress=steps.show,
                advance=steps.advance,
                **({"off_policy": partial(twin_off_policy, settings)} if off_policy else {}),
            )
        registered = publish(
            product, dataset=plan.dataset, run=run, registry=registry, now=now, tags=published
        )
    return Trained(registered, fresh=True)
