"""Slates as they were shown as lessons for the ranker, with the features of their instant."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tailorbird.exposures.exposure import Exposure
from tailorbird.exposures.outcomes import OUTCOMES, Shown, by_model
from tailorbird.features.history.context import context_vector
from tailorbird.features.items.items import ItemTable
from tailorbird.features.profile.source import ProfileSource
from tailorbird.features.profile.state import UserState
from tailorbird.features.vectors.cross import cross_matrix
from tailorbird.features.vectors.item import ItemFeatures
from tailorbird.models.hybrid.model import HybridModel
from tailorbird.models.hybrid.slates import input_sizes
from tailorbird.models.ranker.ranker import GROUPS, Inputs
from tailorbird.models.ranker.shown import ShownSlates

WIDEST = 50
"""Items of a slate that are learned from: hardly anybody looks further."""
DAY = 86_400.0

TableAt = Callable[[float], ItemTable]
"""Gives the items with what had happened to them before an instant (epoch seconds)."""


def shown_slates(
    shown: Shown, model: HybridModel, *, profiles: ProfileSource, table_at: TableAt
) -> ShownSlates:
    """The slates that a model of ``model``'s sources ranked, oldest first; others say nothing that it could read.

    What the exposure holds is used as it was: signals, the person's vector, the whole inputs of the sample. What it leaves out
    is made again: item features of the beginning of its day, crossed with the profile of its instant from ``profiles``.
    """
    examination = shown.examination
    usable = [place for place, each in enumerate(shown.exposures) if _readable(each, model)]
    bare = [place for place in usable if _whole(shown.exposures[place], model) is None]
    keys = [shown.exposures[place].user_key for place in bare]
    instants = np.array([shown.exposures[place].scored_at for place in bare])
    states: Mapping[int, UserState] = (
        dict(zip(bare, profiles.states_at(keys, instants), strict=True)) if bare else {}
    )
    items = _ItemsOfDays(table_at)
    sizes = input_sizes(len(model.source_names), segments=model.reads_segments)
    counts = [min(WIDEST, by_model(shown.exposures[place])) for place in usable]
    width, m = max(counts, default=1), len(usable)
    arrays = {
        name: np.zeros(
            (m, width, sizes[name]) if name in ("signals", "item", "cross") else (m, sizes[name]), np.float32
        )
        for name in GROUPS
    }
    real, gains = np.zeros((m, width), bool), np.zeros((m, width), np.float32)
    examined = np.ones((m, width), np.float32)
    outcomes = np.zeros((m, width, len(OUTCOMES)), bool)
    for at, (place, count) in enumerate(zip(usable, counts, strict=True)):
        exposure = shown.exposures[place]
        inputs = _whole(exposure, model) or _made_again(exposure, model, states[place], items)
        for name in ("signals", "item", "cross"):
            arrays[name][at, :count] = getattr(inputs, name)[:count]
        arrays["user"][at], arrays["context"][at] = inputs.user, inputs.context
        real[at, :count], gains[at, :count] = True, shown.gains[place][:count]
        outcomes[at, :count] = shown.outcomes[place][:count]
        examined[at, :count] = examination.at(np.arange(count) + exposure.first_position)
    return ShownSlates(**arrays, real=real, gains=gains, examined=examined, outcomes=outcomes)


@dataclass
class _ItemsOfDays:
    """The items' features as they were, day by day: slates come oldest first, so one day is kept."""

    table_at: TableAt
    day: float = -1.0
    table: ItemTable | None = None

    def of(self, instant: float) -> ItemTable:
        """The items at the beginning of the day of ``instant``."""
        day = instant // DAY
        if self.table is None or day != self.day:
            self.day, self.table = day, self.table_at(day * DAY)
        return self.table


def _readable(exposure: Exposure, model: HybridModel) -> bool:
    """Whether a model of these sources ranked it, for somebody whom this one reads the same of, of items that it knows."""
    user = input_sizes(0, segments=model.reads_segments)["user"]
    return (
        by_model(exposure) > 0
        and len(exposure.user_vector) == user
        and set(model.source_names) <= set(exposure.source_names)
        and all(item in model.catalog.row_of for item in exposure.items[: by_model(exposure)])
    )


def _whole(exposure: Exposure, model: HybridModel) -> Inputs | None:
    """The inputs that the exposure holds, where they are those of these sources."""
    inputs = exposure.inputs
    return (
        inputs
        if inputs is not None and exposure.source_names[: len(model.source_names)] == model.source_names
        else None
    )


def _made_again(exposure: Exposure, model: HybridModel, state: UserState, items: _ItemsOfDays) -> Inputs:
    count, now = by_model(exposure), exposure.scored_at
    rows = model.catalog.rows(exposure.items[:count]).astype(np.int64)
    table = items.of(now)
    return Inputs(
        _signals(exposure, model.source_names, count),
        ItemFeatures(table, now=now).rows(rows),
        cross_matrix(state, table, rows, now=now),
        exposure.user_vector,
        context_vector(exposure.context, now=now),
    )


def _signals(exposure: Exposure, names: Sequence[str], count: int) -> np.ndarray:
    """(count, 3 · s) as :func:`~tailorbird.models.hybrid.shortlist.signals_of` makes them, of what the exposure kept."""
    columns = [exposure.source_names.index(name) for name in names]
    ranks = exposure.ranks[:count, columns].astype(np.int64)
    proposed = ranks >= 0
    reciprocal = np.where(proposed, 1.0 / (np.maximum(ranks, 0) + 1.0), 0.0)
    parts = [exposure.z_scores[:count, columns].astype(np.float32), reciprocal, proposed]
    return np.concatenate(parts, axis=1).astype(np.float32)
