"""What another policy would have earned with whole slates, from slates whose places were filled with known chances.

Whether somebody looks on and clicks may depend on what stands above, so a place is weighted by all choices down to it (McInerney et al.
2020, reward interaction IPS); the doubly robust estimate adds to each place what a mean by place foretells (Kiyohara et al. 2022, cascade).
"""

import math
from dataclasses import dataclass

import numpy as np

from tailorbird.experiments.off_policy.estimators import FOLDS, Estimate, skewed_interval
from tailorbird.experiments.off_policy.evaluation import LEAST_EFFECTIVE, MOST_OFF, Evaluation

_SIGMAS = 4.0


@dataclass(frozen=True)
class SlateLog:
    """Slates (n, k): the ``propensities`` of their items given those above, the ``chances`` that the target gives them, ``rewards``."""

    propensities: np.ndarray
    chances: np.ndarray
    rewards: np.ndarray
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rewards)


def evaluate_slates(log: SlateLog, *, clip: float | None = None, confidence: float = 0.95) -> Evaluation:
    """Rewards per slate that the target would have had, or why the log cannot tell."""
    ratio = np.cumprod(log.chances / log.propensities, axis=1)
    limit = math.sqrt(len(log)) if clip is None else clip
    weights = np.minimum(ratio, limit)
    last = weights[:, -1]
    size = float(last.sum() ** 2 / (last**2).sum()) if last.any() else 0.0
    means = ratio.mean(axis=0)  # (k,) 1 of a log that shows now and then whatever the target would
    missing = max(0.0, 1.0 - float(means.min()))
    refusal, remedy = _refusal(ratio, size)
    clipped = int((ratio > weights).any(axis=1).sum())
    notes = list(log.notes)
    if not refusal and clipped:
        notes.append(f"{clipped:,} weights were clipped, which draws ips towards 0: look at dr")
    return Evaluation(
        estimates=() if refusal else tuple(_estimates(log.rewards, weights, confidence)),
        on_policy=_estimate("logged", log.rewards.sum(axis=1), confidence) if len(log) > 1 else None,
        rows=len(log),
        effective_size=size,
        largest_weight=float(ratio.max(initial=0.0)),
        clipped_rows=clipped,
        mean_weight=float(means[-1]) if len(log) else 0.0,
        missing=missing,
        refusal=refusal,
        remedy=remedy,
        notes=tuple(notes),
    )


def _refusal(ratio: np.ndarray, size: float) -> tuple[str, str]:
    remedy = "let the arm that answers explore (docs/arms.md#exploration), look at fewer places, or wait for more answers"
    off = np.abs(ratio.mean(axis=0) - 1.0) - np.maximum(
        MOST_OFF, _SIGMAS * ratio.std(axis=0) / max(len(ratio), 1) ** 0.5
    )
    if (off > 0).any():
        place = int(np.argmax(off > 0))
        return (
            f"at place {place + 1} the weights' mean is {ratio[:, place].mean():.3g} and would be 1: the log hardly ever shows what the arm would",
            remedy,
        )
    if size < LEAST_EFFECTIVE:
        return (
            f"the log's {len(ratio):,} slates say as much of the arm as {size:.0f} of its own would",
            remedy,
        )
    return "", ""


def _estimates(rewards: np.ndarray, weights: np.ndarray, confidence: float) -> list[Estimate]:
    whole = weights.mean(axis=0)
    held = (weights * rewards).sum(axis=0) / np.maximum(weights.sum(axis=0), 1e-12)  # (k,)
    before = np.concatenate([np.ones((len(weights), 1)), weights[:, :-1]], axis=1)
    foretold = _foretold(rewards)
    terms = {
        "ips": (weights * rewards).sum(axis=1),
        "snips": (held + weights * (rewards - held) / np.maximum(whole, 1e-12)).sum(axis=1),
        "dr": (before * foretold + weights * (rewards - foretold)).sum(axis=1),
    }
    return [_estimate(name, each, confidence) for name, each in terms.items()]


def _foretold(rewards: np.ndarray) -> np.ndarray:
    """(n, k) mean rewards by place, of each slate by those of other folds."""
    fold = np.random.default_rng(0).permutation(len(rewards)) % FOLDS
    found = np.empty(rewards.shape)
    for at in range(FOLDS):
        found[fold == at] = rewards[fold != at].mean(axis=0)
    return found


def _estimate(name: str, terms: np.ndarray, confidence: float) -> Estimate:
    error = float(terms.std(ddof=1)) / math.sqrt(len(terms))
    return Estimate(name, float(terms.mean()), error, skewed_interval(terms, confidence=confidence))
