"""The verdict on one of our own experiments: what to do, or for how long to wait, in words."""

from collections.abc import Mapping
from itertools import product
from math import prod

from tailorbird.experiments.deciding.readout import FactorEffects, OwnReadout
from tailorbird.experiments.reading.readout import Row
from tailorbird.experiments.reading.verdict import MINUS, PLUS, Decision, Verdict, judge
from tailorbird.experiments.statistics.frequentist import Interval
from tailorbird.experiments.statistics.power import POWER


def verdict_of(readout: OwnReadout) -> Verdict:
    """By the primary metric, the guardrails' objections, and how far the test has come; of factors by their effects."""
    verdict = judge(readout.reading)
    if verdict.decision is Decision.BROKEN:
        return verdict
    if readout.factors is not None and not readout.question.looking:
        return _of_factors(readout, readout.factors, verdict)
    if verdict.decision is not Decision.CANNOT_TELL:
        return verdict
    small = _no_difference(readout)
    if small:
        return Verdict(Decision.KEEP, small, readout.question.control)
    return Verdict(Decision.CANNOT_TELL, f"{_wait(readout)} ({verdict.words.removeprefix('cannot tell: ')})")


def _wait(readout: OwnReadout) -> str:
    """For how long to wait, by the variant that needs most."""
    question = readout.question
    lift = f"a lift of {100 * question.minimum_effect:g} %"
    if not readout.progress:
        return "cannot tell"
    days = [each.days for each in readout.progress]
    known = [each for each in days if each is not None]
    if len(known) < len(days):
        return f"cannot tell, and never will: too few come for {lift}; look for a larger one, or a metric that varies less"
    most = max(known)
    if not most:
        return f"cannot tell; {lift} would have been found in {POWER:.0%} of tests"
    return f"cannot tell; needs {most} more day{'s' if most > 1 else ''} for {lift}"


def _no_difference(readout: OwnReadout) -> str:
    """That no variant can be better or worse by as much as was looked for; "" where one can."""
    question, metric = readout.question, readout.reading.metrics[0]
    said = []
    for row in metric.rows[1:]:
        interval = _deciding(readout, row)
        if row.obstacle or interval is None or max(map(abs, interval)) >= question.minimum_effect:
            return ""
        said.append(
            f"{metric.metric.name} of {row.variant} lies {_percent(interval)} beside {question.control}'s"
        )
    if not said:
        return ""
    return (
        f"no difference worth {100 * question.minimum_effect:g} %: {'; '.join(said)}; keep {question.control}"
    )


def _deciding(readout: OwnReadout, row: Row) -> Interval | None:
    if row.comparison is None:
        return None
    return row.always_valid[1] if readout.question.looking else row.comparison.interval


def _of_factors(readout: OwnReadout, factors: FactorEffects, beside: Verdict) -> Verdict:
    """What each factor does, and the cell that they make together."""
    question, metric = readout.question, readout.reading.metrics[0].metric
    level = 1 - question.confidence
    said, found = [], []
    for effect, p_value in zip(factors.effects.effects, factors.adjusted_p, strict=True):
        if p_value >= level:
            continue
        better = (effect.effect > 0) != metric.lower_is_better
        span = _span(effect.interval, factors.base)
        found.append((effect.levels, effect.effect))
        said.append(f"{effect.name} is {'better' if better else 'worse'} on {metric.name}, by {span}")
    if not found:
        small = _no_difference(readout)
        return Verdict(
            Decision.CANNOT_TELL, small or f"{_wait(readout)}: no factor moves {metric.name} for certain"
        )
    sign = -1.0 if metric.lower_is_better else 1.0
    best = max(
        _combinations(question.factors), key=lambda cell: sign * _predicted(cell, found, question.factors)
    )
    name = next((each for each, levels in question.levels.items() if dict(levels) == best), None)
    words = "; ".join(said)
    if factors.effects.confounded:
        words += "; the cells are too few to tell interactions from these"
    if name is None:
        made = ", ".join(f"{factor} = {level}" for factor, level in best.items())
        return Verdict(
            Decision.WEIGH,
            f"{words}; together they make {made}, which no unit had: test it beside {question.control}",
        )
    if name == question.control:
        return Verdict(Decision.KEEP, f"{words}; keep {name}", name)
    if beside.decision is Decision.WEIGH and beside.variant == name:
        return Verdict(Decision.WEIGH, f"{words}; {beside.words}", name)
    return Verdict(Decision.SHIP, f"{words}; ship {name}", name)


def _combinations(factors: Mapping[str, tuple[str, ...]]) -> list[dict[str, str]]:
    return [dict(zip(factors, levels, strict=True)) for levels in product(*factors.values())]


def _predicted(
    cell: Mapping[str, str],
    found: list[tuple[Mapping[str, str], float]],
    factors: Mapping[str, tuple[str, ...]],
) -> float:
    """What the certain effects add up to in a cell, by the centred columns that they are coefficients of."""
    return sum(
        effect * prod((cell[name] == level) - 1 / len(factors[name]) for name, level in levels.items())
        for levels, effect in found
    )


def _span(interval: Interval, base: float) -> str:
    near, far = sorted(abs(end) for end in interval)
    if interval[0] < 0 < interval[1]:
        near = 0.0
    if base > 0:
        return f"{100 * near / base:.2g}\u2013{100 * far / base:.2g} %"
    return f"{near:.2g}\u2013{far:.2g}"


def _percent(interval: Interval) -> str:
    return " to ".join(f"{PLUS if end >= 0 else MINUS}{abs(100 * end):.2g}" for end in interval) + " %"
