"""Planning: the units that tell an effect, the smallest effect that units tell, and the days until there are enough."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr, ndtri

from tailorbird.experiments.statistics.frequentist import LEVEL

POWER = 0.8


def power(
    effect: float,
    *,
    control_variance: float,
    treatment_variance: float,
    control_units: float,
    treatment_units: float,
    confidence: float = LEVEL,
) -> float:
    """The chance that a two-sided z of the difference finds ``effect``; variances are of one unit, effects absolute.

    >>> round(power(0.2, control_variance=1, treatment_variance=1, control_units=400, treatment_units=400), 3)
    0.807
    """
    error = math.sqrt(control_variance / control_units + treatment_variance / treatment_units)
    critical, shift = float(ndtri((1 + confidence) / 2)), effect / error
    return float(ndtr(shift - critical) + ndtr(-shift - critical))


def smallest_effect(error: float, *, confidence: float = LEVEL, power: float = POWER) -> float:
    """The absolute effect that a difference with this standard error finds with ``power``."""
    return error * float(ndtri((1 + confidence) / 2) + ndtri(power))


def units_needed(
    effect: float,
    *,
    control_variance: float,
    treatment_variance: float,
    share: float = 0.5,
    confidence: float = LEVEL,
    power: float = POWER,
) -> int:
    """Units of control and treatment together with which ``effect`` is found; ``share`` of them get the treatment.

    >>> units_needed(0.2, control_variance=1, treatment_variance=1)
    785
    """
    if not effect:
        raise ValueError("no number of units tells an effect of nothing")
    per_unit = control_variance / (1 - share) + treatment_variance / share
    return math.ceil(per_unit * (float(ndtri((1 + confidence) / 2) + ndtri(power)) / effect) ** 2)


def units_for_proportion(
    base: float, *, lift: float, share: float = 0.5, confidence: float = LEVEL, power: float = POWER
) -> int:
    """The same for a proportion of ``base`` that becomes ``base * (1 + lift)``.

    >>> units_for_proportion(0.05, lift=0.1)
    62462
    """
    other = base * (1 + lift)
    if not 0 < other < 1:
        raise ValueError(f"{base} with a lift of {lift} is no proportion: {other}")
    return units_needed(
        other - base,
        control_variance=base * (1 - base),
        treatment_variance=other * (1 - other),
        share=share,
        confidence=confidence,
        power=power,
    )


def days_needed(units: int, *, new_units: Sequence[float]) -> int | None:
    """The first day with ``units`` of them, of ``new_units`` first seen on day 1, 2, …; None where that never happens.

    People come back: later days bring fewer new ones, so days do not grow with units in proportion. The last day's number goes on.

    >>> days_needed(2_500, new_units=[1_000, 600, 400])
    5
    """
    together = np.cumsum(new_units)
    if len(together) and together[-1] >= units:
        return int(np.searchsorted(together, units)) + 1
    last = float(new_units[-1]) if len(new_units) else 0.0
    return len(new_units) + math.ceil((units - together[-1]) / last) if last > 0 else None
