"""Does an effect wear off, or grow: the lift of each day since a unit's first slate, and a test of their trend."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from tailorbird.experiments.statistics.frequentist import LEVEL, Interval

LEAST_DAYS = 3
LEAST_UNITS = 100
"""Units of a variant that a day wants: lifts stand on the normal approximation."""
CLEAR = 3.0
"""Standard errors that a day's mean of the control lies above zero, at least: else its lift says nothing."""

Day = tuple[np.ndarray, np.ndarray | None]
"""Of each unit (n,) the numerator of one day and, of a ratio, the denominator."""


@dataclass(frozen=True)
class DayLift:
    """The lift of one day since the first slate (0 the first), its standard error, and the units of both variants."""

    day: int
    lift: float
    error: float
    units: int

    def interval(self, *, confidence: float = LEVEL) -> Interval:
        """Its interval."""
        half = float(ndtri((1 + confidence) / 2)) * self.error
        return self.lift - half, self.lift + half


@dataclass(frozen=True)
class Trend:
    """How the lift moves: ``slope`` a day over ``days`` days of ``units`` units that were there for all of them; two-sided."""

    slope: float
    error: float
    p_value: float
    days: int
    units: int


def lifts_by_day(days: Sequence[Day], treated: np.ndarray, exposed_days: np.ndarray) -> list[DayLift]:
    """The lift of each whole day, of the units (n,) that have been in the test for so long; days that say nothing end it."""
    found = []
    for at, day in enumerate(days):
        parts = _parts(day, treated, exposed_days >= at + 1)
        if parts is None:
            break
        found.append(
            DayLift(
                at, parts.ratio - 1, math.sqrt(_variance(parts.ours) + _variance(parts.theirs)), parts.units
            )
        )
    return found


def trend_of(days: Sequence[Day], treated: np.ndarray, exposed_days: np.ndarray) -> Trend | None:
    """The least-squares slope of the lifts over the days; None where fewer than ``LEAST_DAYS`` say something.

    Days of one unit are not independent: each unit gives one number, the same combination of its days, so its variance is that of
    units (the delta method for each day's ratio of means, Deng, Knoblich, Lu 2018). Days weigh by their precision.
    """
    length = _full_days(days, treated, exposed_days)
    while length >= LEAST_DAYS:
        there = exposed_days >= length
        parts = [_parts(day, treated, there) for day in days[:length]]
        known = [each for each in parts if each is not None]
        if len(known) == length:
            return _slope(known)
        length = parts.index(None)
    return None


@dataclass(frozen=True)
class _Parts:
    """A day's ratio of means, and what each unit of the treatment and the control adds to it, in units of the lift."""

    ratio: float
    ours: np.ndarray
    theirs: np.ndarray

    @property
    def units(self) -> int:
        return len(self.ours) + len(self.theirs)


def _parts(day: Day, treated: np.ndarray, there: np.ndarray) -> _Parts | None:
    values, per = day
    means, added = [], []
    for mask in (there & treated, there & ~treated):
        own = values[mask]
        below = np.ones(len(own)) if per is None else per[mask]
        if len(own) < LEAST_UNITS or not below.any():
            return None
        mean = float(own.sum() / below.sum())
        means.append(mean)
        added.append((own - mean * below) / below.mean())
    ours, theirs = added
    if not means[1] > CLEAR * math.sqrt(_variance(theirs)):
        return None
    ratio = means[0] / means[1]
    return _Parts(ratio, ours / means[1], theirs * (ratio / means[1]))


def _slope(parts: Sequence[_Parts]) -> Trend:
    precision = np.array([1 / (_variance(each.ours) + _variance(each.theirs)) for each in parts])
    at = np.arange(len(parts), dtype=float)
    centred = at - np.average(at, weights=precision)
    weights = precision * centred / (precision @ centred**2)
    slope = float(weights @ [each.ratio for each in parts])
    ours = sum(weight * each.ours for weight, each in zip(weights, parts, strict=True))
    theirs = sum(weight * each.theirs for weight, each in zip(weights, parts, strict=True))
    error = math.sqrt(_variance(ours) + _variance(theirs))
    return Trend(slope, error, float(2 * ndtr(-abs(slope) / error)), len(parts), parts[0].units)


def _full_days(days: Sequence[Day], treated: np.ndarray, exposed_days: np.ndarray) -> int:
    """The most days that half of all units of each variant have been there for."""
    halves = [float(np.median(exposed_days[mask])) if mask.any() else 0.0 for mask in (treated, ~treated)]
    return min(len(days), int(min(halves)))


def _variance(values: np.ndarray) -> float:
    """Of the mean of ``values``."""
    return float(values.var(ddof=1) / len(values))
