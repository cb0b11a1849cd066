"""What to fit on and what to ask afterwards: the data of a workspace, divided in time."""

from dataclasses import dataclass, replace

import numpy as np

from tailorbird.evaluation.protocols import Protocol, Split
from tailorbird.exposures.learned import read_shown
from tailorbird.exposures.outcomes import Shown
from tailorbird.features.history.contexts import PastContexts
from tailorbird.models.hybrid.slates import RankerCases, ranker_cases
from tailorbird.recipes.recipe import Recipe
from tailorbird.segments.pinned import PinnedSegments
from tailorbird.settings import Settings
from tailorbird.slate.shelf import Shelf
from training.data.dataset import Dataset, interactions_of, split
from training.data.groups import grouped
from training.data.profiles import KnownProfiles, OfflineProfiles
from training.evaluation.measure import MOST_CASES


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
    learned: float | None = None
    """By when (epoch seconds) all had arrived that the model that goes on has learned; None where one is fitted from nothing."""

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
        learned: float | None = None,
    ) -> "Plan":
        """Divide the data in time; profiles come from Feast's offline store, when they are asked for."""
        if recipe.taste != "valence":
            counted = interactions_of(dataset.events, dataset.catalog, taste=recipe.taste)
            dataset = replace(dataset, interactions=counted)
        if pinned is not None:
            dataset = grouped(dataset, pinned.model, settings=settings)
        protocol = split(
            dataset,
            most_cases=most_cases,
            exclude_seen=recipe.exclude_seen,
            baskets=recipe.baskets,
            learned=learned,
        )
        profiles = KnownProfiles(OfflineProfiles(settings))
        shelf = Shelf.of_past(dataset.catalog, dataset.catalog.history)
        return cls(dataset, protocol, recipe, profiles, dataset.contexts, shelf, seed, pinned, shown, learned)

    def lessons(self, part: Split) -> RankerCases:
        """What the ranker learns from: the newest cases of the training part, or those that a model has not learned yet."""
        fit, recipe = part.fit, self.recipe.resolved
        if self.learned is not None:
            older, newer = fit.where(fit.times <= self.learned), fit.where(fit.times > self.learned)
        else:
            cut = float(np.quantile(fit.times, 1.0 - recipe.ranker.share))
            older, newer = fit.before(cut), fit.where(fit.times >= cut)
        return ranker_cases(older, newer, recipe=recipe, seed=self.seed)

    def warmed(self, part: Split) -> "Plan":
        """The plan after the profiles that fitting and measuring on ``part`` will ask for are fetched, all at once.

        Offline rows that are missing cost one pass over the log, and no trial has to make any.
        """
        cases, asked = self.lessons(part), part.cases
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
