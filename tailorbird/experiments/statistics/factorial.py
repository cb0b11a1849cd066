"""Multivariate tests: main effects and interactions of factors, by least squares over the units, from each cell's aggregates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import ndtr, ndtri

from tailorbird.experiments.statistics.frequentist import LEVEL, Estimate, Interval


@dataclass(frozen=True)
class Effect:
    """What a level of one factor does beside its usual one, or what two levels do together beyond the sum of both."""

    levels: Mapping[str, str]
    effect: float
    error: float
    interval: Interval
    p_value: float

    @property
    def is_interaction(self) -> bool:
        """Whether it is of two factors."""
        return len(self.levels) > 1

    @property
    def name(self) -> str:
        """Such as ``layout = wide`` or ``layout = wide with headline = short``."""
        return " with ".join(f"{factor} = {level}" for factor, level in self.levels.items())


@dataclass(frozen=True)
class Effects:
    """All terms, main effects first; ``confounded`` where the cells are too few to tell interactions from main effects."""

    effects: tuple[Effect, ...]
    confounded: bool


def factorial_effects(
    cells: Sequence[tuple[Mapping[str, str], Estimate]],
    factors: Mapping[str, Sequence[str]],
    *,
    confidence: float = LEVEL,
) -> Effects:
    """Ordinary least squares on centred columns of levels, each beside the first (usual) level of its factor.

    A main effect is so the mean over the levels of the other factors. Coefficients, errors (HC2: MacKinnon, White 1985) and
    p-values are those of ``statsmodels`` ``OLS(...).fit(cov_type="HC2")`` over the units.

    Raises ValueError where a cell has one unit, no cell has any variance, or the cells cannot tell the main effects apart.
    """
    units = np.array([estimate.units for _, estimate in cells], float)
    means = np.array([estimate.mean for _, estimate in cells])
    spreads = np.array([estimate.variance * estimate.units for _, estimate in cells])
    if not np.isfinite(spreads).all():
        raise ValueError("a cell of one unit has no variance")
    terms = _main_terms(factors)
    both = [*terms, *_interactions(factors)]
    matrix = _matrix(cells, both, factors)
    confounded = np.linalg.matrix_rank(matrix) < matrix.shape[1]
    if confounded:
        both, matrix = terms, _matrix(cells, terms, factors)
        if np.linalg.matrix_rank(matrix) < matrix.shape[1]:
            raise ValueError("the cells with units cannot tell the main effects apart")
    inverse = np.linalg.inv(matrix.T @ (units[:, None] * matrix))
    found = inverse @ (matrix.T @ (units * means))
    leverage = np.einsum("ij,jk,ik->i", matrix, inverse, matrix)
    squares = ((units - 1) * spreads + units * (means - matrix @ found) ** 2) / (1 - leverage)
    errors = np.sqrt(np.diag(inverse @ (matrix.T @ (squares[:, None] * matrix)) @ inverse))
    if not (errors > 0).all():
        raise ValueError("no cell has any variance")
    critical = float(ndtri((1 + confidence) / 2))
    effects = []
    for term, value, error in zip(both, found[1:], errors[1:], strict=True):
        interval = (float(value - critical * error), float(value + critical * error))
        effects.append(
            Effect(term, float(value), float(error), interval, float(2 * ndtr(-abs(value) / error)))
        )
    return Effects(tuple(effects), bool(confounded))


def _main_terms(factors: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    return [{factor: level} for factor, levels in factors.items() for level in levels[1:]]


def _interactions(factors: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    return [
        {one: first, other: second}
        for one, other in combinations(factors, 2)
        for first in factors[one][1:]
        for second in factors[other][1:]
    ]


def _matrix(
    cells: Sequence[tuple[Mapping[str, str], Estimate]],
    terms: Sequence[Mapping[str, str]],
    factors: Mapping[str, Sequence[str]],
) -> np.ndarray:
    """(cells, 1 + terms): a column of ones, then for each term the product of its centred levels."""
    columns = [np.ones(len(cells))]
    for term in terms:
        column = np.ones(len(cells))
        for factor, level in term.items():
            column *= [(levels[factor] == level) - 1 / len(factors[factor]) for levels, _ in cells]
        columns.append(column)
    return np.stack(columns, axis=1)
