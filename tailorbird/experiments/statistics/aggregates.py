"""Sufficient aggregates of units by variant: counts, means, variances and covariances, all that a comparison needs of them."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from tea_tasting.aggr import Aggregates

VALUE, PER, BEFORE, BEFORE_PER = "value", "per", "before", "before_per"
"""Names of the columns of an aggregate: a metric's numerator and denominator, and both as they were before the test."""


def aggregates(
    codes: np.ndarray, columns: Mapping[str, np.ndarray], *, variants: Sequence[str]
) -> dict[str, Aggregates]:
    """Aggregate ``columns`` (n,) by ``codes`` (n,), the place of each unit's variant in ``variants``.

    Two passes, so that a mean far from zero costs no digits. A variance of one unit is NaN; a variant without units has no entry.

    >>> import numpy as np
    >>> groups = aggregates(np.array([0, 0, 1]), {"value": np.array([1.0, 3.0, 5.0])}, variants=["A", "B"])
    >>> groups["A"].mean("value"), groups["A"].var("value"), groups["B"].count()
    (2.0, 2.0, 1)
    """
    counts = np.bincount(codes, minlength=len(variants))
    with np.errstate(invalid="ignore", divide="ignore"):
        means = {name: np.bincount(codes, values, len(variants)) / counts for name, values in columns.items()}
        residuals = {name: values - means[name][codes] for name, values in columns.items()}
        spread = {name: _products(codes, each, each, counts) for name, each in residuals.items()}
        together = {
            pair: _products(codes, residuals[pair[0]], residuals[pair[1]], counts)
            for pair in combinations(sorted(columns), 2)
        }
    return {
        variant: Aggregates(
            count_=int(counts[at]),
            mean_={name: float(each[at]) for name, each in means.items()},
            var_={name: float(each[at]) for name, each in spread.items()},
            cov_={pair: float(each[at]) for pair, each in together.items()},
        )
        for at, variant in enumerate(variants)
        if counts[at]
    }


def _products(codes: np.ndarray, left: np.ndarray, right: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean products of residuals with Bessel's correction (variants,); NaN where a variant has one unit."""
    return np.bincount(codes, left * right, len(counts)) / np.where(counts > 1, counts - 1, np.nan)
