"""Intervals and p-values that hold however often one looks: asymptotic confidence sequences (Waudby-Smith et al. 2021)."""

import math

from tailorbird.experiments.statistics.frequentist import LEVEL, Estimate, Interval, fieller

TUNED_UNITS = 10_000
"""Units of both variants at which the sequence is narrowest; it must not be chosen by what was seen."""
FIRST_LOOK = 100
"""Units of a variant before which nothing may be concluded: the sequence stands on the central limit theorem."""


def sequence_width(units: int, *, tuned_units: int = TUNED_UNITS, confidence: float = LEVEL) -> float:
    """How many standard errors the sequence reaches to each side after ``units`` of both variants.

    With rho tuned to ``tuned_units`` as their appendix does, the normal mixture boundary of Robbins (1970) is
    ``sqrt(2 (t rho^2 + 1) / (t rho^2) * log(sqrt(t rho^2 + 1) / alpha))`` standard errors of the mean.

    >>> round(sequence_width(10_000), 2)  # at a fixed horizon: 1.96
    3.04
    """
    seen = units * _rho_squared(tuned_units, confidence=confidence)
    return math.sqrt(2 * (seen + 1) / seen * math.log(math.sqrt(seen + 1) / (1 - confidence)))


def always_valid_interval(
    control: Estimate,
    treatment: Estimate,
    *,
    tuned_units: int = TUNED_UNITS,
    confidence: float = LEVEL,
) -> tuple[Interval | None, Interval | None]:
    """The intervals of the difference and of the lift that hold at every look at once; None where there are none."""
    variance = control.variance + treatment.variance
    if not variance > 0 or min(control.units, treatment.units) < FIRST_LOOK:
        return None, None
    width = sequence_width(control.units + treatment.units, tuned_units=tuned_units, confidence=confidence)
    difference, half = treatment.mean - control.mean, width * math.sqrt(variance)
    return (difference - half, difference + half), fieller(control, treatment, critical=width)


def always_valid_p_value(
    control: Estimate,
    treatment: Estimate,
    *,
    tuned_units: int = TUNED_UNITS,
    confidence: float = LEVEL,
) -> float | None:
    """The smallest level at which the sequence of this rho excludes 0: the mixture's likelihood ratio upside down.

    >>> always_valid_p_value(Estimate(1.0, 0.01, 500), Estimate(1.0, 0.01, 500))
    1.0
    """
    variance = control.variance + treatment.variance
    if not variance > 0 or min(control.units, treatment.units) < FIRST_LOOK:
        return None
    seen = (control.units + treatment.units) * _rho_squared(tuned_units, confidence=confidence)
    z_squared = (treatment.mean - control.mean) ** 2 / variance
    exponent = 0.5 * math.log(seen + 1) - z_squared * seen / (2 * (seen + 1))
    return math.exp(min(0.0, exponent))


def _rho_squared(tuned_units: int, *, confidence: float) -> float:
    log = math.log(1 - confidence)
    return (-2 * log + math.log(-2 * log + 1)) / tuned_units
