"""Sample ratio mismatch: are there as many units of each variant as were due, asked once or after every unit."""

from collections.abc import Sequence

import numpy as np
from scipy.special import gammaln
from scipy.stats import chisquare

ALARM = 0.001
"""Below this the assignment is off and no comparison means anything (Fabijan et al. 2019 use .0005 to .01)."""
CONCENTRATION = 1_000.0
"""How near to the due shares the alternative of the sequential test looks: deviations of 1 to 3 points are found soonest."""


def srm_p_value(counts: Sequence[int], shares: Sequence[float]) -> float:
    """The chi-square test of ``counts`` against ``shares`` (any scale), as ``scipy.stats.chisquare`` does it.

    >>> round(srm_p_value([5100, 4900], [1, 1]), 4)
    0.0455
    """
    observed, due = np.asarray(counts, float), np.asarray(shares, float)
    return float(chisquare(observed, observed.sum() * due / due.sum()).pvalue)


def sequential_srm(
    counts: np.ndarray, shares: Sequence[float], *, concentration: float = CONCENTRATION
) -> np.ndarray:
    """The p-value after each look that may be compared at every one of them (Lindon, Malek 2022).

    ``counts`` (looks, variants) are totals so far ▸ (looks,) p-values that never rise: one over the greatest Bayes factor so
    far of a Dirichlet mixture around the due shares against the shares themselves.

    >>> sequential_srm(np.array([[50, 50], [5600, 5000]]), [1, 1]).round(6).tolist()
    [1.0, 1e-06]
    """
    totals, due = np.atleast_2d(np.asarray(counts, float)), np.asarray(shares, float)
    due = due / due.sum()
    prior = concentration * due
    log_factor = (
        gammaln(concentration)
        - gammaln(concentration + totals.sum(axis=1))
        + (gammaln(prior + totals) - gammaln(prior)).sum(axis=1)
        - (totals * np.log(due)).sum(axis=1)
    )
    return np.minimum.accumulate(np.exp(np.minimum(0.0, -log_factor)))
