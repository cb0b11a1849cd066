"""The unit table of an experiment: one row a unit, a column for each part of each metric, and nobody's name."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from tailorbird.errors import UsageError
from tailorbird.experiments.measuring.metric import (
    DAY_SECONDS,
    OF_SESSIONS,
    Attribution,
    DeclaredMetric,
    Measure,
    Quantity,
)
from tailorbird.experiments.measuring.queries import Column, Stretch
from tailorbird.experiments.measuring.workbench import MEMORY_MB, Cohort, Workbench
from tailorbird.experiments.reading.metric import Metric
from tailorbird.experiments.reading.units import Units

MOST_DAYS = 21
"""Days since a unit's first slate that are told one by one."""
PER, BEFORE, BEFORE_PER = " per", " before", " before per"


@dataclass(frozen=True)
class Asked:
    """What is measured: the experiment by key, its variants with the control first, from ``start`` until ``end`` (epoch seconds)."""

    experiment: str
    variants: tuple[str, ...]
    metrics: tuple[DeclaredMetric, ...]
    start: float
    end: float
    daily: bool = True

    @property
    def horizon_days(self) -> float:
        """The longest that a unit can have been in the test."""
        return max(0.0, self.end - self.start) / DAY_SECONDS

    @property
    def before_days(self) -> float:
        """How far back covariates reach."""
        return max((each.before_days for each in self.metrics if each.has_covariate), default=0.0)

    @property
    def quantities(self) -> list[Quantity]:
        """All that is counted."""
        return [one for each in self.metrics for one in (each.of, each.per) if one is not None]

    @property
    def types(self) -> list[str]:
        """The types of events that quantities name."""
        return sorted({name for each in self.quantities for name in each.types})

    @property
    def read_types(self) -> list[str] | None:
        """The types of events that must be read; None where every deed counts."""
        every = any(
            not each.types and (each.measure in OF_SESSIONS or each.measure in _OF_ANY)
            for each in self.quantities
        )
        return None if every else self.types


_OF_ANY = frozenset(
    {
        Measure.EVENTS,
        Measure.VALUE,
        Measure.ITEMS,
        Measure.ACTIVE_DAYS,
        Measure.DAYS_UNTIL_RETURN,
        *OF_SESSIONS,
    }
)


@dataclass(frozen=True)
class Sources:
    """Where rows come from; each is called once, in this order."""

    logins: Callable[[], Mapping[str, str]]
    shown: Callable[[float, float], Iterable[pa.RecordBatch]]
    done: Callable[[float, float, Sequence[str] | None], Iterable[pa.RecordBatch]]
    categories: Callable[[], Mapping[str, str]]


@dataclass(frozen=True)
class UnitTable:
    """What was found: the units, the metrics as the reading of tables knows them, and what each did day by day.

    ``daily``: of the primary metric the numerator and the denominator (n,) of each day since the first slate; None for no
    denominator. ``exposed_days`` (n,): how long each unit has been in the test.
    """

    asked: Asked
    cohort: Cohort
    units: Units
    metrics: tuple[Metric, ...]
    daily: tuple[tuple[np.ndarray, np.ndarray | None], ...]
    exposed_days: np.ndarray
    notes: tuple[str, ...] = field(default=())


class NobodyError(UsageError):
    """Nobody was shown anything of the experiment."""


def unit_table(asked: Asked, sources: Sources, *, memory_mb: int = MEMORY_MB) -> UnitTable:
    """Measure every unit of the experiment. Raises NobodyError: nobody is in it."""
    reach = asked.before_days * DAY_SECONDS
    with Workbench(memory_mb=memory_mb) as bench:
        bench.take_logins(sources.logins())
        scenarios = sorted({name for each in asked.quantities for name in each.scenarios})
        bench.take_shown(
            sources.shown(asked.start - reach, asked.end),
            experiment=asked.experiment,
            variants=asked.variants,
            scenarios=scenarios,
        )
        if any(each.measure is Measure.CATEGORIES_SEEN for each in asked.quantities):
            bench.take_categories(sources.categories())
        bench.take_done(
            sources.done(asked.start - reach, asked.end, asked.read_types),
            types=asked.types,
            since_days=asked.before_days,
            names_slates=any(each.attribution is Attribution.RECOMMENDATION for each in asked.quantities),
        )
        cohort = bench.cohort(asked.variants)
        if not len(cohort):
            raise NobodyError(
                f"nobody is in experiment {asked.experiment!r} yet",
                remedy="its units are whoever was shown a slate of it: look at its audience and at the exposures",
            )
        columns = list(_columns(asked))
        found = dict(zip(columns, bench.measure([column for _, column in columns]), strict=True))
    return _table(asked, cohort, {name: values for (name, _), values in found.items()})


def _columns(asked: Asked) -> Iterable[tuple[str, Column]]:
    for metric in asked.metrics:
        after = Stretch.days(0, metric.window_days or asked.horizon_days)
        before = Stretch.days(-metric.before_days, 0)
        for role, quantity in (("", metric.of), (PER, metric.per)):
            if quantity is None:
                continue
            yield metric.name + role, Column(quantity, after)
            if metric.has_covariate:
                yield metric.name + {"": BEFORE, PER: BEFORE_PER}[role], Column(quantity, before)
    if not asked.daily:
        return
    primary = asked.metrics[0]
    if primary.of.before_exists:
        for day in range(min(MOST_DAYS, int(asked.horizon_days))):
            within = Stretch.days(day, day + 1)
            yield f"day {day}", Column(primary.of, within)
            if primary.per is not None:
                yield f"day {day}{PER}", Column(primary.per, within)


def _table(asked: Asked, cohort: Cohort, found: dict[str, np.ndarray]) -> UnitTable:
    notes = []
    exposed = (asked.end - cohort.first) / DAY_SECONDS
    metrics, columns = [], {}
    for declared in asked.metrics:
        values = found.pop(declared.name)
        before = found.pop(declared.name + BEFORE, None)
        if declared.kind == "proportion":
            values = np.minimum(values, 1.0)
            before = None if before is None else np.minimum(before, 1.0)
        if declared.window_days is not None:
            young = exposed < declared.window_days
            values = np.where(young, np.nan, values)
            if young.any():
                notes.append(
                    f"{int(young.sum()):,} units have not been in the test for {declared.window_days:g} days, "
                    f"which {declared.name} asks for"
                )
        columns[declared.name] = values
        cap = declared.cap
        if declared.winsorise is not None:
            known = values[np.isfinite(values)]
            cap = float(np.quantile(known, declared.winsorise)) if len(known) else 0.0
            if cap <= 0 or not (known > cap).any():
                cap = None
        if before is not None and cap is not None:
            before = np.minimum(before, cap)
        parts = {}
        for role, part in (("per", PER), ("before", BEFORE), ("before_per", BEFORE_PER)):
            name = declared.name + part
            numbers = before if role == "before" else found.pop(name, None)
            if numbers is not None and not (
                role.startswith("before") and before is not None and not before.any()
            ):
                columns[name] = numbers
                parts[role] = name
        metrics.append(
            Metric(
                declared.name,
                declared.kind,
                cap=cap,
                lower_is_better=declared.lower_is_better,
                label=declared.name,
                **parts,
            )
        )
    return UnitTable(
        asked=asked,
        cohort=cohort,
        units=Units(asked.variants, cohort.codes, columns),
        metrics=tuple(metrics),
        daily=tuple(_days(found)),
        exposed_days=exposed,
        notes=tuple(notes + _said_of(cohort)),
    )


def _days(found: Mapping[str, np.ndarray]) -> Iterable[tuple[np.ndarray, np.ndarray | None]]:
    day = 0
    while f"day {day}" in found:
        yield found[f"day {day}"], found.get(f"day {day}{PER}")
        day += 1


def _said_of(cohort: Cohort) -> list[str]:
    notes = []
    if cohort.switched:
        notes.append(
            f"{cohort.switched:,} units saw more than one variant (an id that changed, a device of several people): left out"
        )
    if cohort.clocks:
        notes.append(
            f"{cohort.clocks:,} events came with a clock that cannot be right, ahead of their arrival or before the slate "
            "that they name: counted at the nearest instant that can"
        )
    return notes
