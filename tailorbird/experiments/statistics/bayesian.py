"""The chance of each variant to be the best of all, under flat priors: by quadrature, so the same figures give the same answer."""

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr
from scipy.stats import beta, norm

from tailorbird.experiments.statistics.frequentist import Estimate

POINTS = 4_001
REACH = 8.0
"""Posterior standard deviations to each side that the grid spans."""


def best_of_means(arms: Sequence[Estimate], *, lower_is_better: bool = False) -> list[float] | None:
    """The chances with normal posteriors; None where one of them has no spread.

    >>> best_of_means([Estimate(1.0, 0.01, 100), Estimate(1.0, 0.01, 100)])
    [0.5, 0.5]
    """
    means = np.array([each.mean for each in arms])
    errors = np.sqrt([each.variance for each in arms])
    if not (errors > 0).all():
        return None
    grids = means[:, None] + errors[:, None] * np.linspace(-REACH, REACH, POINTS)  # (arms, points)
    return _chances(
        grids,
        density=lambda at, x: norm.pdf(x, means[at], errors[at]),
        below=lambda at, x: ndtr((x - means[at]) / errors[at]),
        lower_is_better=lower_is_better,
    )


def best_of_proportions(
    successes: Sequence[int], units: Sequence[int], *, lower_is_better: bool = False
) -> list[float]:
    """The chances with beta posteriors of flat priors.

    >>> best_of_proportions([3, 3], [10, 10])
    [0.5, 0.5]
    """
    shapes = [(hits + 1.0, count - hits + 1.0) for hits, count in zip(successes, units, strict=True)]
    inner = np.linspace(-REACH, REACH, POINTS)
    grids = []
    for left, right in shapes:
        spread = np.sqrt(left * right / ((left + right) ** 2 * (left + right + 1)))
        grids.append(np.clip(left / (left + right) + spread * inner, 0.0, 1.0))
    return _chances(
        np.array(grids),
        density=lambda at, x: beta.pdf(x, *shapes[at]),
        below=lambda at, x: beta.cdf(x, *shapes[at]),
        lower_is_better=lower_is_better,
    )


def _chances(grids, *, density, below, lower_is_better: bool) -> list[float]:  # type: ignore[no-untyped-def]
    """Integrate, over each arm's own grid (points,), its density times the chance that all others lie on the losing side."""
    won = []
    for at, grid in enumerate(grids):
        others = [below(other, grid) for other in range(len(grids)) if other != at]
        losing = np.prod([1 - each if lower_is_better else each for each in others], axis=0)
        won.append(float(np.trapezoid(density(at, grid) * losing, grid)))
    whole = sum(won)
    return [round(each / whole, 12) for each in won]
