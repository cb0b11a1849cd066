"""Fixed-horizon comparisons of two variants: Welch's t, the pooled two-proportion z, ratios by the delta method, CUPED, lifts by Fieller."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add

from scipy.special import ndtr, ndtri, stdtr, stdtrit
from tea_tasting.aggr import Aggregates

from tailorbird.experiments.statistics.aggregates import BEFORE, BEFORE_PER, PER, VALUE

Interval = tuple[float, float]
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A variant's mean of a metric over ``units``, and the ``variance`` of that mean (NaN of one unit).

    ``saved`` is the share of the variance that a covariate took away.
    """

    mean: float
    variance: float
    units: int
    saved: float = 0.0


@dataclass(frozen=True)
class Comparison:
    """A treatment beside its control: ``difference`` of the means and, relative to the control's mean, ``lift``.

    ``p_value`` is two-sided and None where nothing varies; ``lift`` and ``interval`` are None where the control's mean is not
    clearly above zero, so that no number of per cent says anything.
    """

    difference: float
    difference_interval: Interval | None
    lift: float | None
    interval: Interval | None
    p_value: float | None


def estimates(groups: Mapping[str, Aggregates]) -> dict[str, Estimate]:
    """Each variant's mean of ``value``, or of ``value`` per ``per`` by the delta method (Deng, Knoblich, Lu 2018).

    Where the aggregates hold ``before``, the same as it was before the test, its part of the variance is taken away (CUPED:
    Deng, Xu, Kohavi, Walker 2013), with one coefficient for all variants.
    """
    if not groups:
        return {}
    columns = next(iter(groups.values())).mean_
    per = PER if PER in columns else None
    before_per = BEFORE_PER if BEFORE_PER in columns else None
    several = [
        group for group in groups.values() if group.count() > 1
    ]  # one unit alone has no variance to add
    total = reduce(add, several or groups.values())
    coefficient = common = 0.0
    if BEFORE in columns and total.mean(before_per):
        spread = total.ratio_var(BEFORE, before_per)
        common = total.mean(BEFORE) / total.mean(before_per)
        if spread > 0:
            coefficient = total.ratio_cov(VALUE, per, BEFORE, before_per) / spread
    return {
        variant: _estimate(group, per, before_per, coefficient=coefficient, common=common)
        for variant, group in groups.items()
    }


def compare_means(control: Estimate, treatment: Estimate, *, confidence: float = LEVEL) -> Comparison:
    """Compare by Welch's t, as ``scipy.stats.ttest_ind(treatment, control, equal_var=False)`` does.

    >>> compare_means(Estimate(10.0, 0.01, 500), Estimate(10.5, 0.01, 500)).p_value < 0.001
    True
    """
    variance = control.variance + treatment.variance
    if not variance > 0:
        return _unknown(control, treatment)
    difference = treatment.mean - control.mean
    freedom = variance**2 / sum(each.variance**2 / (each.units - 1) for each in (control, treatment))
    error = math.sqrt(variance)
    p_value = float(2 * stdtr(freedom, -abs(difference) / error))
    critical = float(stdtrit(freedom, (1 + confidence) / 2))
    return _comparison(control, treatment, half=critical * error, critical=critical, p_value=p_value)


def compare_proportions(control: Estimate, treatment: Estimate, *, confidence: float = LEVEL) -> Comparison:
    """Compare by z with the pooled variance, as ``statsmodels``' ``proportions_ztest`` does and chi-square without correction.

    The interval has each variant's own variance: under a difference, there is nothing to pool.

    >>> round(compare_proportions(share(100, 1000), share(120, 1000)).p_value, 4)
    0.1529
    """
    difference = treatment.mean - control.mean
    together = (control.mean * control.units + treatment.mean * treatment.units) / (
        control.units + treatment.units
    )
    pooled = together * (1 - together) * (1 / control.units + 1 / treatment.units)
    if not pooled > 0:
        return _unknown(control, treatment)
    p_value = float(2 * ndtr(-abs(difference) / math.sqrt(pooled)))
    critical = float(ndtri((1 + confidence) / 2))
    half = critical * math.sqrt(control.variance + treatment.variance)
    return _comparison(control, treatment, half=half, critical=critical, p_value=p_value)


def share(successes: float, units: int) -> Estimate:
    """The estimate of a proportion.

    >>> share(30, 120)
    Estimate(mean=0.25, variance=0.0015625, units=120, saved=0.0)
    """
    mean = successes / units
    return Estimate(mean, mean * (1 - mean) / units, units)


def fieller(control: Estimate, treatment: Estimate, *, critical: float) -> Interval | None:
    """The interval of ``treatment / control - 1``, the ratios that a test of ``critical`` does not reject (Fieller 1954).

    It excludes 0 exactly where the test of the difference with the same critical value does; None where the control's mean is
    not above zero by as much, for then every ratio is possible.
    """
    base, other = control.mean, treatment.mean
    room = base**2 - critical**2 * control.variance
    if not (base > 0 and room > 0):
        return None
    inside = (base * other) ** 2 - room * (other**2 - critical**2 * treatment.variance)
    root = math.sqrt(max(0.0, inside))
    return (base * other - root) / room - 1, (base * other + root) / room - 1


def _estimate(
    group: Aggregates, per: str | None, before_per: str | None, *, coefficient: float, common: float
) -> Estimate:
    units = group.count()
    if not group.mean(per):
        return Estimate(math.nan, math.nan, units)
    mean, spread = group.mean(VALUE) / group.mean(per), group.ratio_var(VALUE, per)
    if not coefficient or not group.mean(before_per):
        return Estimate(mean, max(spread, 0.0) / units if spread == spread else math.nan, units)
    mean -= coefficient * (group.mean(BEFORE) / group.mean(before_per) - common)
    left = (
        spread
        + coefficient**2 * group.ratio_var(BEFORE, before_per)
        - 2 * coefficient * group.ratio_cov(VALUE, per, BEFORE, before_per)
    )
    saved = 1 - left / spread if spread > 0 else 0.0
    return Estimate(mean, max(left, 0.0) / units if left == left else math.nan, units, saved)


def _comparison(
    control: Estimate, treatment: Estimate, *, half: float, critical: float, p_value: float
) -> Comparison:
    difference = treatment.mean - control.mean
    interval = fieller(control, treatment, critical=critical)
    lift = treatment.mean / control.mean - 1 if interval is not None else None
    return Comparison(difference, (difference - half, difference + half), lift, interval, p_value)


def _unknown(control: Estimate, treatment: Estimate) -> Comparison:
    comparable = control.mean > 0 and math.isfinite(treatment.mean)
    lift = treatment.mean / control.mean - 1 if comparable else None
    return Comparison(treatment.mean - control.mean, None, lift, None, None)
