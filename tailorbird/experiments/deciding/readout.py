"""The readout of one of our own experiments: everything that its units say, computed once, before it is put in words."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tailorbird.errors import UsageError
from tailorbird.experiments.deciding.progress import Progress, progress_of
from tailorbird.experiments.deciding.question import Question
from tailorbird.experiments.deciding.segments import SegmentLifts, lifts_by_segment
from tailorbird.experiments.measuring.table import Sources, UnitTable, unit_table
from tailorbird.experiments.measuring.workbench import MEMORY_MB
from tailorbird.experiments.reading.metric import Kind, Metric
from tailorbird.experiments.reading.readout import Readout, read_out
from tailorbird.experiments.statistics.factorial import Effects, factorial_effects
from tailorbird.experiments.statistics.multiplicity import holm
from tailorbird.experiments.statistics.novelty import DayLift, Trend, lifts_by_day, trend_of
from tailorbird.experiments.statistics.srm import sequential_srm

LOOKS = 200
"""At the sample ratio, while units come."""


@dataclass(frozen=True)
class Days:
    """A variant's lifts day by day since the first slate, and their trend; None where too few days say something."""

    variant: str
    lifts: tuple[DayLift, ...]
    trend: Trend | None


@dataclass(frozen=True)
class Course:
    """The sequential p-value of the sample ratio (looks,) as units came: at which instants, of how many units."""

    instants: tuple[float, ...]
    units: tuple[int, ...]
    p_values: tuple[float, ...]


@dataclass(frozen=True)
class FactorEffects:
    """A multivariate test's effects on the primary metric; ``adjusted_p`` over all of them, in their order, ``base`` the mean of all cells."""

    effects: Effects
    adjusted_p: tuple[float, ...]
    base: float


@dataclass(frozen=True)
class Allotted:
    """What a bandit gave from one instant on: the part of each variant, by context ("" where there is one), of how many units."""

    number: int
    at: float
    who: str
    parts: Mapping[str, Mapping[str, float]]
    units: int


@dataclass(frozen=True)
class OwnReadout:
    """What the units of ``question`` say; ``spread`` is how many lie in each variant of those that were switched or withheld."""

    question: Question
    reading: Readout
    course: Course
    progress: tuple[Progress, ...]
    days: tuple[Days, ...]
    segments: tuple[SegmentLifts, ...]
    factors: FactorEffects | None
    switched: int
    notes: tuple[str, ...]
    allotted: tuple[Allotted, ...] = ()
    """Of a bandit what its renewals gave the variants, the start first."""

    @property
    def units(self) -> int:
        """How many there are."""
        return sum(self.reading.counts.values())


def read_own(question: Question, sources: Sources, *, memory_mb: int = MEMORY_MB) -> OwnReadout:
    """Measure the units of an experiment and compare them. Raises UsageError: nobody is in it."""
    return read_table(question, unit_table(question.asked, sources, memory_mb=memory_mb))


def read_table(question: Question, table: UnitTable) -> OwnReadout:
    """Compare the units of a table that is there already."""
    course = _course(question, table)
    reading = read_out(table.units, _of_old_enough(question, table), question.design)
    if course.p_values:
        reading = replace(reading, srm_always_valid_p=course.p_values[-1])
    return OwnReadout(
        question=question,
        reading=reading,
        course=course,
        progress=tuple(progress_of(question, reading, table.cohort.first)),
        days=tuple(_days(question, table)),
        segments=tuple(lifts_by_segment(question, table)),
        factors=_factors(question, reading),
        switched=table.cohort.switched,
        notes=table.notes,
    )


def _of_old_enough(question: Question, table: UnitTable) -> list[Metric]:
    """The metrics without those that ask for more days than any unit has been there. Raises UsageError: the primary one does."""
    there = {each.name for each in table.metrics if np.isfinite(table.units.columns[each.column]).any()}
    primary = question.primary
    if primary.name not in there:
        raise UsageError(
            f"nobody has been in the test for {primary.window_days:g} days yet, which {primary.name} asks for",
            remedy="read it again when they are over",
        )
    return [each for each in table.metrics if each.name in there]


def _course(question: Question, table: UnitTable) -> Course:
    order = np.argsort(table.cohort.first, kind="stable")
    codes = table.cohort.codes[order]
    looks = np.unique(np.linspace(1, len(codes), min(LOOKS, len(codes))).astype(int))
    seen = np.stack([np.cumsum(codes == at)[looks - 1] for at in range(len(question.shares))], axis=1)
    p_values = sequential_srm(seen, list(question.shares.values()))
    return Course(
        instants=tuple(table.cohort.first[order][looks - 1].tolist()),
        units=tuple(looks.tolist()),
        p_values=tuple(p_values.tolist()),
    )


def _days(question: Question, table: UnitTable) -> list[Days]:
    codes, found = table.cohort.codes, []
    control = codes == 0
    for at, variant in enumerate(question.shares):
        if not at:
            continue
        pair = control | (codes == at)
        daily = [
            (_daily(values[pair], question), None if per is None else per[pair])
            for values, per in table.daily
        ]
        treated, exposed = (codes == at)[pair], table.exposed_days[pair]
        lifts = lifts_by_day(daily, treated, exposed)
        if lifts:
            found.append(Days(variant, tuple(lifts), trend_of(daily, treated, exposed)))
    return found


def _daily(values: np.ndarray, question: Question) -> np.ndarray:
    return np.minimum(values, 1.0) if question.primary.kind is Kind.PROPORTION else values


def _factors(question: Question, reading: Readout) -> FactorEffects | None:
    if not question.factors or not question.levels:
        return None
    if any(
        row.obstacle for row in reading.metrics[0].rows
    ):  # a cell too small to be compared moves no factor either
        return None
    rows = [
        row for row in reading.metrics[0].rows if row.variant in question.levels and row.estimate.units > 1
    ]
    cells: list[tuple[Mapping[str, str], object]] = [
        (question.levels[row.variant], row.estimate) for row in rows
    ]
    try:
        found = factorial_effects(cells, question.factors, confidence=question.confidence)  # type: ignore[arg-type]
    except (ValueError, np.linalg.LinAlgError):
        return None
    units = np.array([row.estimate.units for row in rows], float)
    base = float(units @ [row.estimate.mean for row in rows] / units.sum())
    return FactorEffects(found, tuple(holm([each.p_value for each in found.effects])), base)
