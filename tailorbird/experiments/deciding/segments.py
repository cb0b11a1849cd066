"""For whom: the effect on the primary metric in each segment, drawn towards the others as far as chance explains the difference."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tailorbird.experiments.deciding.question import Question
from tailorbird.experiments.measuring.table import UnitTable
from tailorbird.experiments.measuring.workbench import NONE
from tailorbird.experiments.reading.roles import roles_of
from tailorbird.experiments.statistics.aggregates import aggregates
from tailorbird.experiments.statistics.frequentist import Estimate, estimates
from tailorbird.experiments.statistics.multiplicity import holm
from tailorbird.experiments.statistics.shrinkage import Shrunk, shrunk

LEAST_UNITS = 100
"""Units of each variant that a segment wants."""
MOST_SEGMENTS = 20
"""The largest of an attribute."""
CLEAR = 3.0
"""Standard errors that the control's mean of a segment lies above zero: else a lift says nothing."""


@dataclass(frozen=True)
class SegmentLift:
    """One segment: its own lift with its standard error, and the lift that is left to it."""

    label: str
    units: int
    lift: float
    error: float
    shrunk: Shrunk


@dataclass(frozen=True)
class SegmentLifts:
    """A variant's lifts by one attribute of units; ``p_value``: that they are all the same, ``adjusted_p`` over all attributes and variants."""

    attribute: str
    variant: str
    lifts: tuple[SegmentLift, ...]
    p_value: float
    left_out: int
    adjusted_p: float = 1.0


def lifts_by_segment(question: Question, table: UnitTable) -> list[SegmentLifts]:
    """Every attribute that has two segments of enough units at least."""
    columns, there, _ = roles_of(table.units, table.metrics[0])
    codes = table.units.codes[there]
    found = []
    for attribute, everywhere in table.cohort.attributes.items():
        labels = everywhere[there]
        names = _largest(labels)
        arms = {name: _arms(columns, codes, labels == name, question) for name in names}
        for variant in question.treatments:
            lifts = {name: _lift(own.get(question.control), own.get(variant)) for name, own in arms.items()}
            known = {name: lift for name, lift in lifts.items() if lift is not None}
            if len(known) >= 2:
                found.append(
                    _together(attribute, variant, known, arms, question, left=len(lifts) - len(known))
                )
    adjusted = holm([each.p_value for each in found])
    return [replace(each, adjusted_p=p_value) for each, p_value in zip(found, adjusted, strict=True)]


def warning_of(found: Sequence[SegmentLifts], *, confidence: float) -> str:
    """What is to be said to whoever looks through segments; "" where there are none."""
    looked = sum(len(each.lifts) for each in found)
    if not looked:
        return ""
    chance = looked * (1 - confidence)
    return (
        f"{looked} segments were looked at: of so many plain intervals about {chance:.1g} miss by chance alone. Shrunk effects "
        "allow for it; take what stands out for the question of a test of its own, not for an answer"
    )


def _largest(labels: np.ndarray) -> list[str]:
    names, counts = np.unique(labels.astype(str), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [str(names[at]) for at in order[:MOST_SEGMENTS] if names[at] != NONE]


def _arms(
    columns: Mapping[str, np.ndarray], codes: np.ndarray, where: np.ndarray, question: Question
) -> dict[str, Estimate]:
    some = {role: values[where] for role, values in columns.items()}
    groups = aggregates(codes[where], some, variants=list(question.shares))
    return estimates({name: each for name, each in groups.items() if each.count() >= LEAST_UNITS})


def _lift(control: Estimate | None, treatment: Estimate | None) -> tuple[float, float] | None:
    """The lift and its standard error by the delta method; None where it says nothing."""
    if control is None or treatment is None:
        return None
    if not (
        control.mean > CLEAR * math.sqrt(control.variance) and control.variance > 0 and treatment.variance > 0
    ):
        return None
    ratio = treatment.mean / control.mean
    error = math.sqrt(treatment.variance + ratio**2 * control.variance) / control.mean
    return ratio - 1, error


def _together(
    attribute: str,
    variant: str,
    known: Mapping[str, tuple[float, float]],
    arms: Mapping[str, Mapping[str, Estimate]],
    question: Question,
    *,
    left: int,
) -> SegmentLifts:
    spread = shrunk(
        [lift for lift, _ in known.values()],
        [error for _, error in known.values()],
        confidence=question.confidence,
    )
    lifts = tuple(
        SegmentLift(name, arms[name][question.control].units + arms[name][variant].units, lift, error, each)
        for (name, (lift, error)), each in zip(known.items(), spread.effects, strict=True)
    )
    return SegmentLifts(attribute, variant, lifts, spread.p_value, left)
