"""The readout of a finished test: every metric of every variant beside the control, in figures and in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from tea_tasting.aggr import Aggregates

from tailorbird.errors import UsageError
from tailorbird.experiments.reading.checks import broken_by, outliers, too_little
from tailorbird.experiments.reading.metric import Kind, Metric
from tailorbird.experiments.reading.roles import roles_of
from tailorbird.experiments.reading.units import Units
from tailorbird.experiments.statistics import aggregates as named
from tailorbird.experiments.statistics.bayesian import best_of_means, best_of_proportions
from tailorbird.experiments.statistics.frequentist import (
    Comparison,
    Estimate,
    Interval,
    compare_means,
    compare_proportions,
    estimates,
    share,
)
from tailorbird.experiments.statistics.multiplicity import ADJUSTMENTS
from tailorbird.experiments.statistics.sequential import (
    TUNED_UNITS,
    always_valid_interval,
    always_valid_p_value,
)
from tailorbird.experiments.statistics.srm import ALARM, sequential_srm, srm_p_value


@dataclass(frozen=True)
class Design:
    """How the test is read: against which control, due shares, level, which p-value decides, when it was to be looked at."""

    control: str
    shares: Mapping[str, float]
    confidence: float = 0.95
    adjustment: str = "holm"
    looking: bool = False
    tuned_units: int = TUNED_UNITS
    margins: Mapping[str, float] | None = None
    """The metrics that may object to a winner, and by how much of the control's mean each may become worse; all, by nothing, if None."""


@dataclass(frozen=True)
class Row:
    """One variant's figures of one metric; what compares is None of the control itself.

    ``obstacle`` says in words why no verdict may follow, "" for nothing; ``notes`` what one should know.
    """

    variant: str
    estimate: Estimate
    raw_mean: float
    missing: int
    comparison: Comparison | None = None
    always_valid: tuple[Interval | None, Interval | None] = (None, None)
    always_valid_p: float | None = None
    best: float | None = None
    adjusted_p: float | None = None
    obstacle: str = ""


@dataclass(frozen=True)
class MetricReadout:
    """All variants of one metric, the control first."""

    metric: Metric
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Readout:
    """What the table says before anybody puts it in words."""

    design: Design
    counts: Mapping[str, int]
    srm_p: float
    srm_always_valid_p: float
    metrics: tuple[MetricReadout, ...]
    notes: tuple[str, ...] = ()

    @property
    def assignment_is_off(self) -> bool:
        """Whether the sample ratio locks every verdict."""
        return (self.srm_always_valid_p if self.design.looking else self.srm_p) < ALARM


def read_out(units: Units, metrics: Sequence[Metric], design: Design) -> Readout:
    """Compare every variant with the control. Raises UsageError: an unknown control, nothing to compare, a wrong proportion."""
    counts = units.counts
    if design.control not in counts:
        raise UsageError(
            f"no unit has the control {design.control!r}",
            remedy=f"the variants are {', '.join(units.variants)}",
        )
    if len(design.shares) < 2:
        raise UsageError("the table has one variant", remedy="a test wants a control and another variant")
    due = [design.shares[name] for name in design.shares]
    seen = [counts.get(name, 0) for name in design.shares]
    notes = [f"{name} was due and no unit has it" for name in design.shares if name not in counts]
    if units.left_out:
        notes.append(f"{units.left_out:,} rows without a unit or a variant were left out")
    read = [_read_metric(units, metric, design) for metric in metrics]
    return Readout(
        design=design,
        counts=dict(zip(design.shares, seen, strict=True)),
        srm_p=srm_p_value(seen, due),
        srm_always_valid_p=float(sequential_srm(np.array([seen]), due)[-1]),
        metrics=tuple(_adjusted(read, design)),
        notes=tuple(notes),
    )


def _read_metric(units: Units, metric: Metric, design: Design) -> MetricReadout:
    columns, there, notes = roles_of(units, metric)
    groups = named.aggregates(units.codes[there], columns, variants=units.variants)
    if design.control not in groups:
        raise UsageError(
            f"no unit of {design.control} has a value of {metric.name}",
            remedy="check the column, or leave it out",
        )
    arms = estimates(groups)
    plain = {name: _plain_mean(group) for name, group in groups.items()}
    if metric.kind is Kind.PROPORTION and not metric.before:
        arms = {
            name: share(round(plain[name] * group.count()), group.count()) for name, group in groups.items()
        }
    missing = {
        name: total - (groups[name].count() if name in groups else 0) for name, total in units.counts.items()
    }
    broken = broken_by(units, missing, columns, there)
    notes += outliers(units, metric, columns, there)
    chances = _chances(metric, arms)
    order = [design.control, *(name for name in arms if name != design.control)]
    rows = []
    for name in order:
        row = Row(name, arms[name], plain[name], missing[name], best=chances.get(name))
        if name != design.control:
            row = _compared(row, metric, arms[design.control], design, broken=broken)
        rows.append(row)
    absent = [name for name in units.variants if name not in groups]
    notes += [f"no unit of {name} has a value of {metric.name}" for name in absent]
    if sum(missing.values()) and not broken:
        notes.append(f"{sum(missing.values()):,} units without a value of {metric.name} were left out of it")
    return MetricReadout(metric, tuple(rows), tuple(notes))


def _chances(metric: Metric, arms: Mapping[str, Estimate]) -> dict[str, float]:
    arms = {name: each for name, each in arms.items() if each.variance == each.variance}
    if len(arms) < 2:
        return {}
    ordered = list(arms.values())
    if metric.kind is Kind.PROPORTION and not metric.before:
        found: list[float] | None = best_of_proportions(
            [round(each.mean * each.units) for each in ordered],
            [each.units for each in ordered],
            lower_is_better=metric.lower_is_better,
        )
    else:
        found = best_of_means(ordered, lower_is_better=metric.lower_is_better)
    return dict(zip(arms, found, strict=True)) if found else {}


def _compared(row: Row, metric: Metric, control: Estimate, design: Design, *, broken: str) -> Row:
    proportion = metric.kind is Kind.PROPORTION and not metric.before
    compare = compare_proportions if proportion else compare_means
    comparison = compare(control, row.estimate, confidence=design.confidence)
    tuning = {"tuned_units": design.tuned_units, "confidence": design.confidence}
    return replace(
        row,
        comparison=comparison,
        always_valid=always_valid_interval(control, row.estimate, **tuning),  # type: ignore[arg-type]
        always_valid_p=always_valid_p_value(control, row.estimate, **tuning),  # type: ignore[arg-type]
        obstacle=(broken and f"broken: {broken}") or too_little(metric, control, row.estimate, comparison),
    )


def _adjusted(read: Sequence[MetricReadout], design: Design) -> list[MetricReadout]:
    """The same with p-values adjusted over all metrics and variants together."""
    places, values = [], []
    for at, metric in enumerate(read):
        for row in metric.rows:
            fixed = row.comparison.p_value if row.comparison is not None else None
            p_value = row.always_valid_p if design.looking else fixed
            if p_value is not None:
                places.append((at, row.variant))
                values.append(p_value)
    adjusted = dict(zip(places, ADJUSTMENTS[design.adjustment](values), strict=True))
    return [
        MetricReadout(
            metric.metric,
            tuple(replace(row, adjusted_p=adjusted.get((at, row.variant))) for row in metric.rows),
            metric.notes,
        )
        for at, metric in enumerate(read)
    ]


def _plain_mean(group: Aggregates) -> float:
    per = named.PER if named.PER in group.mean_ else None
    return group.mean(named.VALUE) / group.mean(per) if group.mean(per) else float("nan")
