"""What each variant gets next, a pure function of what was counted: Thompson sampling's chances to be best, or LinUCB by context.

What was counted is an array of sums ``(periods, cells, variants, SUMS)``: of each observation (a unit in a period) its reward's
numerator ``v`` and denominator ``d``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tailorbird.experiments.bandits.cells import Cells
from tailorbird.experiments.design.bandit import Bandit

SUMS = 6
UNITS, VALUE, PER, VALUE_VALUE, VALUE_PER, PER_PER = range(SUMS)
LEAST_UNITS = 100
"""Observations of every variant before the first move: chances stand on the central limit theorem."""
DRAWS = 20_000
DRAWN_SEED = 20_231
"""Of the frozen draws by which chances are counted: the same figures give the same chances."""
_DECIMALS = 6
_RIDGE = 1e-6
_TURNS, _ENOUGH = 500, 1e-9
_SUPPOSED = 10.0
"""Denominators by which a variant's spread is drawn to that of all: ten slates without a click do not say that there never is one."""

Counted = Mapping[str, Any]
"""What a renewal stands on, as JSON has it: enough to compute its allocations again."""


def counted_of(bandit: Bandit, sums: np.ndarray, before: Counted | None = None) -> dict[str, Any]:
    """What a policy needs of the ``sums`` (periods, cells, variants, SUMS), beside what was counted ``before`` of earlier periods.

    It is as large after a thousand periods as after one. An effect of its own for each period is taken out, so that a good day is no
    variant's merit. Thompson: ``precision`` (V, V) and ``weighted`` (V,), the normal equations of the variants' means beside these
    effects. LinUCB: value, without the effects, and denominator by cell and variant, and the spread.
    """
    flat = sums.sum(axis=(0, 1))  # (variants, SUMS)
    given: Counted = before or {}

    def known(name: str, fresh: np.ndarray) -> np.ndarray:
        return fresh + np.array(given[name]) if name in given else fresh

    squares, weight = _left(sums)
    squares, weight = known("squares", squares), known("weight", weight)
    spread = _spreads(squares, weight)
    units, value, per = (
        known(name, flat[:, which]) for name, which in (("units", UNITS), ("total", VALUE), ("weight", PER))
    )
    counted: dict[str, Any] = {
        "periods": len(sums) + given.get("periods", 0),
        "units": [int(each) for each in units],
        "means": [float(one / of) if of else None for one, of in zip(value, per, strict=True)],
        "total": value.tolist(),
        "squares": squares.tolist(),
        "weight": weight.tolist(),
    }
    if bandit.policy == "linucb":
        cells = known("per", sums[..., PER].sum(axis=0))
        plain = _without_periods(Cells(bandit).features, sums, given)
        return counted | {
            "value": plain.tolist(),
            "per": cells.tolist(),
            "spread": float(np.sqrt(spread.mean())),
        }
    precision, weighted = np.zeros((len(flat), len(flat))), np.zeros(len(flat))
    if (spread > 0).all():
        for period in sums.sum(axis=1):  # (variants, SUMS)
            weights = period[:, PER] / spread
            there = weights > 0
            if there.sum() < 2:
                continue
            means = np.divide(period[:, VALUE], period[:, PER], out=np.zeros(len(flat)), where=there)
            precision += np.diag(weights) - np.outer(weights, weights) / weights.sum()
            weighted += weights * (means - weights @ means / weights.sum())
    return counted | {
        "precision": known("precision", precision).tolist(),
        "weighted": known("weighted", weighted).tolist(),
    }


def allocations_of(
    bandit: Bandit, counted: Counted, *, weights: Sequence[float], lower_is_better: bool = False
) -> list[list[float]]:
    """The part (cells, variants) that each variant gets; ``weights`` while too little was counted.

    Every part is at least the floor, to a millionth, and a cell's parts add up to 1.
    """
    cells = Cells(bandit)
    if min(counted["units"]) < LEAST_UNITS:
        return [list(weights) for _ in range(cells.count)]
    wanted = _hopeful if bandit.policy == "linucb" else _chances
    shares = wanted(bandit, counted, cells, -1.0 if lower_is_better else 1.0)
    if shares is None:
        return [list(weights) for _ in range(cells.count)]
    return [_floored(row, bandit.floor) for row in shares]


def _chances(bandit: Bandit, counted: Counted, cells: Cells, sign: float) -> np.ndarray | None:
    """(1, variants) each one's chance to be the best, by frozen draws of the posterior under a flat prior (Thompson 1933)."""
    precision, weighted = np.array(counted["precision"]), np.array(counted["weighted"])
    if not np.trace(precision) > 0:
        return None
    # Only differences are known: the ridge lets the common mean be anything, which moves no difference.
    posterior = precision + np.eye(len(weighted)) * (_RIDGE * np.trace(precision) / len(weighted))
    means = np.linalg.solve(posterior, sign * weighted)
    upper = np.linalg.cholesky(posterior).T
    drawn = np.random.default_rng(DRAWN_SEED).standard_normal((DRAWS, len(weighted)))
    best = (means + np.linalg.solve(upper, drawn.T).T).argmax(axis=1)
    shares: np.ndarray = np.bincount(best, minlength=len(weighted))[None, :] / DRAWS
    return shares


def _hopeful(bandit: Bandit, counted: Counted, cells: Cells, sign: float) -> np.ndarray | None:
    """(cells, variants) all to the variant whose upper bound is highest there (Li, Chu, Langford, Schapire 2010, disjoint)."""
    if not counted["spread"] > 0:
        return None
    features = cells.features  # (cells, features)
    value, per = np.array(counted["value"]), np.array(counted["per"])  # (cells, variants)
    bounds = np.empty_like(value)
    for at in range(value.shape[1]):
        inverse = _inverse(features, per[:, at])
        coefficients = inverse @ (features.T @ (sign * value[:, at]))
        reach = np.sqrt(np.einsum("cf,fg,cg->c", features, inverse, features))
        bounds[:, at] = features @ coefficients + bandit.width * counted["spread"] * reach
    shares: np.ndarray = np.eye(value.shape[1])[bounds.argmax(axis=1)]
    return shares


def _without_periods(features: np.ndarray, sums: np.ndarray, before: Counted) -> np.ndarray:
    """(cells, variants) values without the effect of their period: least squares of effects and of each variant's model, by turns.

    The first period is the one that others are held against; those counted ``before`` are without theirs already.
    """
    value, per = sums[..., VALUE], sums[..., PER]  # (periods, cells, variants)
    known = np.array(before["value"]) if before else np.zeros(sums.shape[1:3])
    of_known = np.array(before["per"]) if before else np.zeros(sums.shape[1:3])
    total, of_period = per.sum(axis=0) + of_known, per.sum(axis=(1, 2))
    inverses = [_inverse(features, column) for column in total.T]
    effects = np.zeros(len(sums))
    came = np.flatnonzero(of_period)
    moved = came if of_known.any() else came[1:]
    for _ in range(_TURNS if len(moved) else 0):
        plain = known + value.sum(axis=0) - np.tensordot(effects, per, 1)
        expected = np.stack(
            [
                features @ (inverse @ (features.T @ column))
                for inverse, column in zip(inverses, plain.T, strict=True)
            ],
            axis=1,
        )  # (cells, variants)
        last = effects.copy()
        effects[moved] = (value - per * expected).sum(axis=(1, 2))[moved] / of_period[moved]
        if np.abs(effects - last).max() <= _ENOUGH * np.abs(effects).max():
            break
    found: np.ndarray = known + value.sum(axis=0) - np.tensordot(effects, per, 1)
    return found


def _inverse(features: np.ndarray, per: np.ndarray) -> np.ndarray:
    """(features, features) of one variant's ridge regression, whose cells have denominators ``per`` (cells,)."""
    inverse: np.ndarray = np.linalg.inv(np.eye(features.shape[1]) + (features * per[:, None]).T @ features)
    return inverse


def _left(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(variants,) squares that are left within cells and periods, and the denominators that they are of."""
    per = sums[..., PER]
    ratio = np.divide(sums[..., VALUE], per, out=np.zeros_like(per), where=per > 0)
    left = sums[..., VALUE_VALUE] - 2 * ratio * sums[..., VALUE_PER] + ratio**2 * sums[..., PER_PER]
    return np.maximum(left, 0).sum(axis=(0, 1)), per.sum(axis=(0, 1))


def _spreads(squares: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(variants,) the variance of a mean times its denominator; drawn a little to that of all."""
    common = squares.sum() / weight.sum() if weight.sum() > 0 else 0.0
    spread: np.ndarray = (squares + _SUPPOSED * common) / (weight + _SUPPOSED)
    return spread


def _floored(shares: np.ndarray, floor: float) -> list[float]:
    """Parts that add up to 1 in millionths, each at least ``floor`` rounded to these; what is rounded off goes to the largest.

    Of three variants with a floor of 1/3 one gets .333334 and two .333333.
    """
    parts = np.round(floor + (1 - len(shares) * floor) * shares, _DECIMALS)
    parts[parts.argmax()] += 1 - parts.sum()
    return [round(float(each), _DECIMALS) for each in parts]
