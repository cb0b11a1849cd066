"""What the last weeks say of an experiment: who its audience is, whether its metrics can move, and how long it takes."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import orjson
import pyarrow as pa

from tailorbird.errors import TailorbirdError
from tailorbird.experiments.design.experiment import Audience, Experiment
from tailorbird.experiments.interleaving.counting import require_credit
from tailorbird.experiments.measuring.declared import chosen, read_metrics
from tailorbird.experiments.measuring.metric import DAY_SECONDS, DeclaredMetric
from tailorbird.experiments.measuring.streams import sources_of
from tailorbird.experiments.measuring.table import Asked, UnitTable, unit_table
from tailorbird.experiments.measuring.workbench import SHOWN_SCHEMA
from tailorbird.experiments.reading.metric import Metric
from tailorbird.experiments.running.checking import Finding
from tailorbird.experiments.running.plans import is_one_of
from tailorbird.experiments.statistics.power import days_needed, units_needed
from tailorbird.settings import Settings

DAYS = 14
"""How far back is looked."""
EVERYBODY = "everybody"
"""The variant that everybody of the audience is in, as the past is measured."""
FEW_UNITS = 100


def past_of(
    settings: Settings, *, clock: Callable[[], float] = time.time
) -> Callable[[Experiment], Sequence[Finding]]:
    """Looks at the workspace's exposures and events."""
    return lambda experiment: look_back(settings, experiment, now=clock())


def look_back(settings: Settings, experiment: Experiment, *, now: float) -> list[Finding]:
    """What DAYS before ``now`` (epoch seconds) say."""
    if experiment.kind == "shadow":  # nobody is a unit of it
        return []
    try:
        metrics = chosen(read_metrics(settings.folder), list(experiment.metrics.names))
    except TailorbirdError:  # of_metrics refuses
        return []
    if experiment.kind == "interleaving":
        try:
            require_credit(metrics[0])
        except TailorbirdError as error:
            return [Finding("refused", "metrics", error.what, error.remedy)]
    asked = Asked(
        experiment.key,
        (EVERYBODY,),
        tuple(replace(each, before_days=0.0) for each in metrics),
        now - DAYS * DAY_SECONDS,
        now,
        daily=False,
    )
    sources = sources_of(settings, unit=experiment.unit)
    of_audience = replace(
        sources,
        shown=lambda start, end: _as_if_assigned(sources.shown(start, end), experiment),
    )
    try:
        table = unit_table(asked, of_audience, memory_mb=settings.readout_memory_mb)
    except TailorbirdError:
        words = f"nobody of its audience was shown anything in the last {DAYS} days"
        remedy = "look at the audience and the unit, or let the shop run first"
        return [Finding("warning", "audience", words, remedy)]
    found = [_audience(table, experiment), *_still(table, metrics)]
    if experiment.kind == "interleaving":  # how often slates will tell, no past slate says
        return found
    return [*found, *_plan(table, experiment)]


def _audience(table: UnitTable, experiment: Experiment) -> Finding:
    units = len(table.cohort)
    share = experiment.ramp[-1].share if experiment.ramp else experiment.share
    both = experiment.kind == "interleaving"  # every unit sees every variant
    smallest = 1.0 if both else min(each.weight for each in experiment.variants)
    return Finding(
        "fine" if units * share * smallest >= FEW_UNITS else "warning",
        "audience",
        f"{units:,} units ({experiment.unit}) were of its audience in the last {DAYS} days; with a share of {share:g} the smallest "
        f"variant gets about {units * share * smallest:,.0f} of as many",
        "" if units * share * smallest >= FEW_UNITS else "raise the share, or have fewer variants",
    )


def _still(table: UnitTable, metrics: Sequence[DeclaredMetric]) -> Iterator[Finding]:
    """Metrics that cannot move: what they count never came."""
    for metric in metrics:
        values = table.units.columns[metric.name]
        known = values[np.isfinite(values)]
        if not len(known) or not known.any():
            types = ", ".join(metric.of.types) or metric.of.measure.value
            yield Finding(
                "warning",
                "metrics",
                f"{metric.name} was 0 for everybody in the last {DAYS} days: nothing it counts came ({types})",
                "see that pages send these events, or choose another metric",
            )


def _plan(table: UnitTable, experiment: Experiment) -> Iterator[Finding]:
    """How many units the primary metric needs, and for how long."""
    metric = table.metrics[0]
    mean, variance = _moments(table.units.columns, metric)
    if not mean or not variance > 0:
        return
    effect = abs(mean) * experiment.metrics.minimum_effect
    control = experiment.variant(experiment.control).weight
    smallest = min(each.weight for each in experiment.treatments)
    pair = control + smallest
    needed = units_needed(
        effect,
        control_variance=variance,
        treatment_variance=variance,
        share=smallest / pair,
        # As it is decided: p-values are adjusted over metrics and variants.
        confidence=1
        - (1 - experiment.confidence) / (len(experiment.metrics.names) * len(experiment.treatments)),
    )
    share = experiment.ramp[-1].share if experiment.ramp else experiment.share
    first_seen = np.bincount(
        np.clip(((table.cohort.first - table.asked.start) // DAY_SECONDS).astype(int), 0, DAYS - 1),
        minlength=DAYS,
    )
    days = days_needed(needed, new_units=(first_seen * share * pair).tolist())
    said = (
        f"{metric.name} is {mean:.4g} now; a lift of {experiment.metrics.minimum_effect:.1%} is found with a chance of 80 % by "
        f"{needed:,} units of {experiment.control} and one more variant: "
    )
    if days is None:
        yield Finding(
            "warning",
            "power",
            f"{said}never, at the rate of the last days",
            "raise the share or the minimum effect",
        )
    elif days > experiment.days:
        yield Finding(
            "warning",
            "power",
            f"{said}about {days:,} days, and {experiment.days} are planned",
            "raise the share, plan for longer, or settle for a larger minimum effect",
        )
    else:
        yield Finding("fine", "power", f"{said}about {days:,} days of {experiment.days}")


def _moments(columns: Mapping[str, np.ndarray], metric: Metric) -> tuple[float, float]:
    """Mean and variance of one unit; of a ratio the variance is that of its linearisation (delta method)."""
    values = columns[metric.column]
    values = values if metric.cap is None else np.minimum(values, metric.cap)
    per = columns[metric.per] if metric.per else np.ones(len(values))
    known = np.isfinite(values) & np.isfinite(per)
    values, per = values[known], per[known]
    if len(values) < 2 or not per.any():
        return 0.0, 0.0
    mean = float(values.mean() / per.mean())
    return mean, float(np.var(values - mean * per, ddof=1) / per.mean() ** 2)


def _as_if_assigned(batches: Iterable[pa.RecordBatch], experiment: Experiment) -> Iterator[pa.RecordBatch]:
    """Slates of the past, those of the audience with the one variant that all of it is in."""
    told = orjson.dumps({experiment.key: EVERYBODY}).decode()
    place = SHOWN_SCHEMA.get_field_index("experiments")
    for batch in batches:
        mask = (
            [
                of_audience(experiment.audience, scenario, _object(context), _object(request))
                for scenario, context, request in zip(
                    batch["scenario"].to_pylist(),
                    batch["context"].to_pylist(),
                    batch["request"].to_pylist(),
                    strict=True,
                )
            ]
            if experiment.audience
            else [True] * len(batch)
        )
        column = pa.array([told if each else None for each in mask], pa.string())
        yield batch.set_column(place, SHOWN_SCHEMA.field(place), column)


def of_audience(
    audience: Audience, scenario: str, context: Mapping[str, object], request: Mapping[str, object]
) -> bool:
    """Whether a past answer was to somebody of an audience; of written rules it does not say, so that they count as met."""
    if audience.scenarios and scenario not in audience.scenarios:
        return False
    segment = request.get("segment")
    if audience.segments and isinstance(segment, dict) and segment.get("key") not in audience.segments:
        return False
    return all(is_one_of(context.get(name), values) for name, values in audience.context.items())


def _object(text: str | None) -> Mapping[str, object]:
    found: Mapping[str, object] = orjson.loads(text) if text else {}
    return found
