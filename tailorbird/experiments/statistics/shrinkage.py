"""Effects of many segments drawn towards each other: the more, the less their differences exceed what chance makes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri
from scipy.stats import chi2

from tailorbird.experiments.statistics.frequentist import LEVEL, Interval

POINTS = 400
WIDEST = 20.0
"""Median standard errors, or median distances of effects from their middle where these are more, up to which the spread of true
effects is thought of: two or three segments hardly bound it."""


@dataclass(frozen=True)
class Shrunk:
    """One effect after shrinkage, with its interval; ``kept`` is the share of its own deviation that was left to it."""

    effect: float
    interval: Interval
    kept: float


@dataclass(frozen=True)
class Spread:
    """Effects together: each shrunk, their common ``mean``, the posterior mean ``spread`` (standard deviation) of true effects.

    ``p_value`` is that of Cochran's Q (1954): that all true effects are the same.
    """

    effects: tuple[Shrunk, ...]
    mean: float
    spread: float
    p_value: float


def shrunk(effects: Sequence[float], errors: Sequence[float], *, confidence: float = LEVEL) -> Spread:
    """Shrink effects with standard errors by the normal-normal hierarchical model, its spread integrated out.

    Plain empirical Bayes takes its one estimate of the spread for the truth, and its intervals are too narrow where there are few
    segments. So it is averaged over, under a prior that is flat in the variance of true effects (Morris 1983; Morris and Tang 2011):
    its intervals cover at least what they say whatever the spread is, where priors of less spread cover too seldom.

    >>> found = shrunk([0.0, 0.0, 0.0, 0.4], [0.1, 0.1, 0.1, 0.1])
    >>> 0.1 < found.effects[3].effect < 0.4 and found.p_value < 0.01
    True
    """
    y, s = np.asarray(effects, float), np.asarray(errors, float)
    if len(y) < 2:
        raise ValueError("one effect has nothing to be drawn towards")
    # Effects far apart beside small errors: a spread cut off at those would draw the one that is known badly too near.
    scale = max(float(np.median(s)), float(np.median(np.abs(y - np.median(y)))))
    # Denser near zero, where the likelihood changes most.
    taus = scale * WIDEST * np.linspace(0.0, 1.0, POINTS) ** 2
    variances = s[None, :] ** 2 + taus[:, None] ** 2  # (points, k)
    weights = 1 / variances
    mean_variance = 1 / weights.sum(axis=1)
    means = (weights * y).sum(axis=1) * mean_variance
    log = (
        0.5 * np.log(mean_variance)
        - 0.5 * np.log(variances).sum(axis=1)
        - 0.5 * (weights * (y - means[:, None]) ** 2).sum(axis=1)
    )
    mass = np.exp(log - log.max()) * np.gradient(taus**2)
    mass /= mass.sum()
    kept = taus[:, None] ** 2 / variances
    each = kept * y + (1 - kept) * means[:, None]
    inner = kept * s**2 + (1 - kept) ** 2 * mean_variance[:, None]
    posterior = mass @ each
    deviation = np.sqrt(mass @ (inner + (each - posterior) ** 2))
    half = float(ndtri((1 + confidence) / 2)) * deviation
    plain = 1 / s**2
    q = float((plain * (y - (plain @ y) / plain.sum()) ** 2).sum())
    return Spread(
        effects=tuple(
            Shrunk(float(e), (float(e - h), float(e + h)), float(k))
            for e, h, k in zip(posterior, half, mass @ kept, strict=True)
        ),
        mean=float(mass @ means),
        spread=math.sqrt(float(mass @ taus**2)),
        p_value=float(chi2.sf(q, len(y) - 1)),
    )
