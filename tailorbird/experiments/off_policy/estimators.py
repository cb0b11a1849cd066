"""What a target policy would have earned, of the log of another: IPS, SNIPS and DR with weights clipped, and their intervals."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri
from scipy.stats import skew

from tailorbird.experiments.off_policy.logs import Log, Target

FOLDS = 5
SHRINKAGE = 20.0
"""Choices of a whole action, or of all, that weigh as much as one pair's own in the reward model."""


@dataclass(frozen=True)
class Estimate:
    """One estimator's value with the standard error and interval that count both logs' chance."""

    name: str
    value: float
    error: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Weights:
    """Each logged choice's weight (n,): the target's chance over the log's, ``clipped`` or not, and by how often its position is due."""

    ratio: np.ndarray
    clipped: np.ndarray
    due: np.ndarray

    @property
    def effective_size(self) -> float:
        """Rows of equal weight that say as much (Kish 1965)."""
        weights = self.due * self.clipped
        return float(weights.sum() ** 2 / (weights**2).sum()) if weights.any() else 0.0

    @property
    def clipped_rows(self) -> int:
        """How many weights were cut."""
        return int((self.ratio > self.clipped).sum())


def weights_of(log: Log, target: Target, *, clip: float | None = None) -> Weights:
    """The weights, cut at ``clip``; without it at the root of the rows, where bias and variance balance (Ionides 2008)."""
    ratio = target.policy[log.positions, log.actions] / log.propensity
    shares = np.bincount(log.positions, minlength=len(target.counts)) / len(log.positions)
    due = target.position_shares / np.where(shares > 0, shares, 1.0)
    return Weights(
        ratio, np.minimum(ratio, math.sqrt(len(ratio)) if clip is None else clip), due[log.positions]
    )


def estimate_all(log: Log, target: Target, weights: Weights, *, confidence: float = 0.95) -> list[Estimate]:
    """IPS (Horvitz, Thompson 1952), SNIPS (Swaminathan, Joachims 2015) and DR (Dudík, Langford, Li 2011), its model cross-fitted."""
    ours = weights.due * weights.clipped
    model = _reward_model(log, np.ones(len(log.reward), bool), target.counts.shape)
    # The target's frequencies are a sample too: what another draw of its log would have been worth.
    mean = float((target.counts * model).sum() / target.counts.sum())
    of_target = float((target.counts * (model - mean) ** 2).sum()) / float(target.counts.sum()) ** 2
    whole = ours.mean()
    snips = float((ours * log.reward).sum() / ours.sum()) if whole else math.nan
    terms = {
        "ips": ours * log.reward,
        "snips": snips + ours * (log.reward - snips) / (whole or math.nan),
        "dr": _doubly_robust(log, target, weights),
    }
    return [_estimate(name, each, of_target=of_target, confidence=confidence) for name, each in terms.items()]


def on_policy(reward: np.ndarray, *, confidence: float = 0.95) -> Estimate:
    """What the target's own log earned."""
    return _estimate("on-policy", reward, of_target=0.0, confidence=confidence)


def skewed_interval(terms: np.ndarray, *, confidence: float) -> tuple[float, float]:
    """The interval of a mean of skewed terms (n,), as weighted rare rewards are: Hall's (1992) transformation of Student's.

    >>> import numpy as np
    >>> low, high = skewed_interval(np.repeat([0.0, 1.0], [990, 10]), confidence=0.95)
    >>> round(low, 4), round(high, 4)  # around .01, further up than down
    (0.0049, 0.0185)
    """
    rows, mean, spread = len(terms), float(terms.mean()), float(terms.std(ddof=1))
    if not spread > 0:
        return mean, mean
    slant, reach = float(skew(terms)), float(ndtri((1 + confidence) / 2)) / math.sqrt(rows)
    if abs(slant) < 1e-6:
        return mean - reach * spread, mean + reach * spread
    low, high = (
        mean - spread * 3 / slant * (float(np.cbrt(1 + slant * (end - slant / (6 * rows)))) - 1)
        for end in (reach, -reach)
    )
    return low, high


def _doubly_robust(log: Log, target: Target, weights: Weights) -> np.ndarray:
    """The terms of DR (n,); each row's rewards are foretold by a model that did not see the row."""
    fold = np.random.default_rng(0).permutation(len(log.reward)) % FOLDS
    terms = np.empty(len(log.reward))
    policy = target.policy
    for at in range(FOLDS):
        held = fold == at
        model = _reward_model(log, ~held, target.counts.shape)
        expected = (policy * model).sum(axis=1)[log.positions[held]]
        residual = log.reward[held] - model[log.positions[held], log.actions[held]]
        terms[held] = weights.due[held] * (expected + weights.clipped[held] * residual)
    return terms


def _reward_model(log: Log, rows: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The mean reward of each action at each position (positions, actions), shrunk to the action's, and that to the mean of all."""
    actions, reward = log.actions[rows], log.reward[rows]
    common = float(reward.mean()) if len(reward) else 0.0
    often = np.bincount(actions, minlength=shape[1])
    of_action = (np.bincount(actions, reward, shape[1]) + SHRINKAGE * common) / (often + SHRINKAGE)
    pairs = log.positions[rows] * shape[1] + actions
    counts = np.bincount(pairs, minlength=shape[0] * shape[1]).reshape(shape)
    sums = np.bincount(pairs, reward, shape[0] * shape[1]).reshape(shape)
    model: np.ndarray = (sums + SHRINKAGE * of_action) / (counts + SHRINKAGE)
    return model


def _estimate(name: str, terms: np.ndarray, *, of_target: float, confidence: float) -> Estimate:
    value = float(terms.mean())
    error = math.sqrt(float(terms.var(ddof=1)) / len(terms) + of_target)
    low, high = skewed_interval(terms, confidence=confidence)
    more = float(ndtri((1 + confidence) / 2)) ** 2 * of_target
    return Estimate(
        name,
        value,
        error,
        (value - math.sqrt((value - low) ** 2 + more), value + math.sqrt((high - value) ** 2 + more)),
    )
