"""Evaluating a registered version: on events newer than any it learned from, or, where there are none, as it was measured."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tailorbird.bundle import Bundle
from tailorbird.evaluation.protocols import Split, ask
from tailorbird.events.valence import RatingScale
from tailorbird.settings import Settings
from tailorbird.slate.shelf import Shelf
from training.data.dataset import Dataset, case_names, interactions_of, limited
from training.data.profiles import KnownProfiles, OfflineProfiles
from training.evaluation.measure import MOST_CASES, Measured, measure


@dataclass(frozen=True)
class Evaluation:
    """Figures on events newer than the version; ``measured`` is None where there are too few.

    ``newer`` counts those events, ``unknown`` those of them on items that the version does not know: nobody can be asked
    about them.
    """

    measured: Measured | None
    newer: int
    unknown: int
    since: dt.datetime


def evaluate(
    bundle: Bundle,
    dataset: Dataset,
    *,
    settings: Settings,
    least: int,
    only: np.ndarray | None = None,
    advance: Callable[[int], object] = lambda questions: None,
) -> Evaluation:
    """Ask the bundle's model what people took since it was trained, if there are at least ``least`` cases.

    ``only`` (m,) restricts the cases to those of these names (``dataset.case_names``).
    """
    since = dt.datetime.fromisoformat(bundle.manifest.data_span[1])
    model: Any = bundle.model
    scale = RatingScale.parse(settings.rating_scale)
    recipe = model.recipe
    known = interactions_of(dataset.events, model.catalog, taste=recipe.taste, scale=scale)
    newer = int((dataset.interactions.times > since.timestamp()).sum())
    fitted = known.times <= since.timestamp()
    unknown = newer - int((~fitted).sum())
    cases = ask(known, np.flatnonzero(~fitted), exclude_seen=recipe.exclude_seen, baskets=recipe.baskets)
    if only is not None:
        cases = cases.take(np.isin(case_names(cases, catalog=model.catalog), only))
    if len(cases) < max(least, 1):
        return Evaluation(None, newer, unknown, since)
    cases = limited(cases, MOST_CASES, catalog=model.catalog)
    own = replace(dataset, catalog=model.catalog, interactions=known)
    profiles = KnownProfiles(OfflineProfiles(settings))
    profiles.warm(cases)
    measured = measure(
        model,
        Split(fitted, cases, visible=np.ones(len(known), bool)),
        dataset=own,
        profiles=profiles,
        shelf=Shelf.of_past(model.catalog, dataset.catalog.history, current=dataset.catalog),
        contexts=dataset.contexts,
        advance=advance,
    )
    return Evaluation(measured, newer, unknown, since)
