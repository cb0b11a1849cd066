"""A readout in words: per comparison and over all, what may be concluded and what to do."""

import math
from dataclasses import dataclass
from enum import StrEnum

from tailorbird.experiments.reading.metric import Metric
from tailorbird.experiments.reading.readout import MetricReadout, Readout, Row
from tailorbird.experiments.statistics.frequentist import Interval
from tailorbird.experiments.statistics.power import smallest_effect

PLUS, MINUS = "+", "\u2212"


class Decision(StrEnum):
    """What the whole test says to do."""

    SHIP = "ship"
    KEEP = "keep"
    WEIGH = "weigh"
    CANNOT_TELL = "cannot tell"
    BROKEN = "broken"


@dataclass(frozen=True)
class Verdict:
    """The decision, the variant that it names, and the sentence."""

    decision: Decision
    words: str
    variant: str | None = None


def judge(readout: Readout) -> Verdict:
    """The verdict by the first metric, which is the primary one; the others may object to a winner."""
    if readout.assignment_is_off:
        return Verdict(Decision.BROKEN, _off(readout))
    primary, control = readout.metrics[0], readout.design.control
    broken = [row for row in primary.rows[1:] if row.obstacle.startswith("broken")]
    if broken:
        return Verdict(Decision.BROKEN, f"{broken[0].obstacle}: no verdict on {primary.metric.name}")
    better = [row for row in primary.rows[1:] if effect_of(row, primary.metric, readout) > 0]
    worse = [row for row in primary.rows[1:] if effect_of(row, primary.metric, readout) < 0]
    if better:
        sign = -1 if primary.metric.lower_is_better else 1
        best = max(better, key=lambda row: sign * row.estimate.mean)
        return _winner(best, readout)
    if worse and len(worse) == len(primary.rows) - 1:
        said = "; ".join(words_of(row, primary.metric, readout) for row in worse)
        return Verdict(Decision.KEEP, f"{said}; keep {control}", control)
    said = "; ".join(words_of(row, primary.metric, readout) for row in primary.rows[1:])
    return Verdict(
        Decision.CANNOT_TELL, said or f"cannot tell: no variant has a value of {primary.metric.name}"
    )


def effect_of(row: Row, metric: Metric, readout: Readout) -> int:
    """1 where the variant is better than the control, -1 where it is worse, 0 where one cannot tell."""
    if readout.assignment_is_off or row.obstacle or row.comparison is None or row.adjusted_p is None:
        return 0
    if row.adjusted_p >= 1 - readout.design.confidence or not row.comparison.difference:
        return 0
    up = row.comparison.difference > 0
    return 1 if up != metric.lower_is_better else -1


def words_of(row: Row, metric: Metric, readout: Readout) -> str:
    """One comparison as a sentence without its end."""
    if row.comparison is None:
        return "control"
    if readout.assignment_is_off:
        return "broken: assignment is off"
    if row.obstacle:
        return row.obstacle
    effect = effect_of(row, metric, readout)
    if effect:
        return f"{row.variant} is {'better' if effect > 0 else 'worse'} on {metric.name}, by {_span(row, readout)}"
    told = _tellable(row, metric, readout)
    return f"cannot tell: {metric.name} of {row.variant} {_between(row, readout)}{told}"


def _winner(best: Row, readout: Readout) -> Verdict:
    primary = readout.metrics[0]
    said = words_of(best, primary.metric, readout)
    objections = []
    margins = readout.design.margins
    for metric in readout.metrics[1:]:
        if margins is not None and metric.metric.name not in margins:
            continue
        row = next((each for each in metric.rows if each.variant == best.variant), None)
        if row is not None and row.obstacle.startswith("broken"):
            objections.append(f"{metric.metric.name} is broken ({row.obstacle.removeprefix('broken: ')})")
        elif row is not None and _harms(row, metric.metric, readout):
            objections.append(f"worse on {metric.metric.name}, by {_span(row, readout)}")
    if objections:
        return Verdict(
            Decision.WEIGH, f"{said}, but {'; '.join(objections)}: weigh before you ship", best.variant
        )
    rivals = [
        row for row in primary.rows[1:] if row is not best and effect_of(row, primary.metric, readout) > 0
    ]
    beside = (
        f" (so {'is' if len(rivals) == 1 else 'are'} {', '.join(row.variant for row in rivals)})"
        if rivals
        else ""
    )
    return Verdict(Decision.SHIP, f"{said}{beside}; ship", best.variant)


def _harms(row: Row, metric: Metric, readout: Readout) -> bool:
    """Whether a metric is worse for certain, by more than it may be."""
    if effect_of(row, metric, readout) >= 0:
        return False
    margin = (readout.design.margins or {}).get(metric.name, 0.0)
    interval, relative = _interval(row, readout)
    return not margin or interval is None or not relative or min(map(abs, interval)) > margin


def _off(readout: Readout) -> str:
    shares, units = readout.design.shares, sum(readout.counts.values())
    whole = sum(shares.values())
    found = ", ".join(
        f"{name} has {count:,} units where {units * shares[name] / whole:,.0f} were due"
        for name, count in readout.counts.items()
    )
    p_value = readout.srm_always_valid_p if readout.design.looking else readout.srm_p
    return f"broken: assignment is off: {found} (p = {p_value:.1g}); no verdict until the cause is found"


def _interval(row: Row, readout: Readout) -> tuple[Interval | None, bool]:
    """The interval that decides, relative where there is a lift."""
    assert row.comparison is not None
    if readout.design.looking:
        absolute, relative = row.always_valid
    else:
        absolute, relative = row.comparison.difference_interval, row.comparison.interval
    return (relative, True) if relative is not None else (absolute, False)


def _span(row: Row, readout: Readout) -> str:
    """How large an effect is, both ends counted from zero: "2-5 %"."""
    interval, relative = _interval(row, readout)
    if interval is None:
        return "an amount that has no interval"
    near, far = sorted(abs(each) for each in interval)
    if (
        interval[0] < 0 < interval[1]
    ):  # the adjusted p-value decides, its interval may reach a little over zero
        near = 0.0
    return f"{_number(near, relative)}\u2013{_number(far, relative)}{' %' if relative else ''}"


def _between(row: Row, readout: Readout) -> str:
    interval, relative = _interval(row, readout)
    if interval is None:
        return f"cannot be compared with {readout.design.control}'s"
    ends = [f"{PLUS if each >= 0 else MINUS}{_number(abs(each), relative)}" for each in interval]
    return f"lies {ends[0]} to {ends[1]}{' %' if relative else ''} beside {readout.design.control}'s"


def _tellable(row: Row, metric: Metric, readout: Readout) -> str:
    """The smallest effect that this many units tell, so that one knows whether waiting helps.

    At the level at which one comparison is called where all others say nothing: p-values are adjusted over metrics and variants.
    """
    control = next(each for each in _rows_of(metric, readout) if each.comparison is None)
    error = math.sqrt(control.estimate.variance + row.estimate.variance)
    comparisons = sum(row.comparison is not None for each in readout.metrics for row in each.rows)
    alone = 1 - (1 - readout.design.confidence) / (comparisons if readout.design.adjustment != "none" else 1)
    least = smallest_effect(error, confidence=alone)
    if readout.design.looking or not control.estimate.mean > 0:
        return ""
    return f"; so many units tell a change of {_number(least / control.estimate.mean, True)} %"


def _rows_of(metric: Metric, readout: Readout) -> tuple[Row, ...]:
    found: MetricReadout = next(each for each in readout.metrics if each.metric.name == metric.name)
    return found.rows


def _number(value: float, relative: bool) -> str:
    shown = value * 100 if relative else value
    return f"{shown:.0f}" if shown >= 10 else f"{shown:.2g}"
