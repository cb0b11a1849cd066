"""How far a test has come: the power it has reached for the effect it looks for, and the days that are missing."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from tailorbird.experiments.deciding.question import Question
from tailorbird.experiments.measuring.metric import DAY_SECONDS
from tailorbird.experiments.reading.readout import Readout, Row
from tailorbird.experiments.statistics.power import POWER, days_needed
from tailorbird.experiments.statistics.sequential import sequence_width

MOST_DAYS = 1_000
"""Beyond it nobody waits."""


@dataclass(frozen=True)
class Progress:
    """Of one variant: the chance that so many units tell the effect that is looked for, and what is missing to ``POWER``.

    ``tells``: the smallest lift that they tell in four of five tests. ``days`` more, 0 for enough, None where it never will.
    """

    variant: str
    power: float
    tells: float
    units_needed: int
    days: int | None


def progress_of(question: Question, readout: Readout, first: np.ndarray) -> list[Progress]:
    """The progress of every variant on the primary metric; ``first`` (n,) are the instants at which units came."""
    rows = readout.metrics[0].rows
    control = rows[0].estimate
    if not control.mean > 0:
        return []
    found = []
    for row in rows[1:]:
        error = math.sqrt(control.variance + row.estimate.variance)
        if not error > 0 or not math.isfinite(error):
            continue
        found.append(_progress(question, row, error / control.mean, control.units, first))
    return found


def _progress(question: Question, row: Row, error: float, control_units: int, first: np.ndarray) -> Progress:
    units = control_units + row.estimate.units
    critical = float(ndtri((1 + question.confidence_alone) / 2))
    if question.looking:
        critical = sequence_width(units, confidence=question.confidence_alone)
    reach, shift = critical + float(ndtri(POWER)), question.minimum_effect / error
    needed = math.ceil(units * (reach / shift) ** 2)
    return Progress(
        variant=row.variant,
        power=float(ndtr(shift - critical) + ndtr(-shift - critical)),
        tells=reach * error,
        units_needed=needed,
        days=more_days(question, first, factor=needed / units),
    )


def more_days(question: Question, first: np.ndarray, *, factor: float) -> int | None:
    """Days until there are ``factor`` times the units, by how they came until now: most come in the first days."""
    if factor <= 1:
        return 0
    whole = max(1, math.ceil(question.days))
    at = np.clip((first - question.start) / DAY_SECONDS, 0, whole - 1).astype(int)
    new_units = np.bincount(at, minlength=whole).astype(float)
    if question.days < whole and whole > 1:  # a day that is not over says little
        new_units = new_units[:-1]
    # The last days together say how many still come: a single one may be a Sunday.
    tail = float(new_units[-7:].mean())
    days = days_needed(math.ceil(len(first) * factor), new_units=[*new_units, tail])
    if days is None or days > MOST_DAYS:
        return None
    return max(1, math.ceil(days - question.days))
