"""Evaluates a target policy on a log, or says why that log cannot tell: no support, too few that count, propensities of others."""

from dataclasses import dataclass

import numpy as np

from tailorbird.experiments.off_policy.estimators import (
    Estimate,
    Weights,
    estimate_all,
    on_policy,
    weights_of,
)
from tailorbird.experiments.off_policy.logs import Log, Logs, Target

MOST_MISSING = 0.01
"""Share of the target's choices that the log may never have made: their worth is unknown, whatever the estimator."""
LEAST_EFFECTIVE = 30.0
"""Rows of equal weight below which an interval of weighted rewards means nothing."""
MOST_OFF = 0.1
"""How far the mean weight may lie from 1, which it is where propensities are those of the log's own policy."""
NAMED = 5
_SIGMAS = 4.0


@dataclass(frozen=True)
class Evaluation:
    """What the log says of the target; ``refusal`` says why its ``estimates`` are none, "" for nothing.

    ``missing`` is the share of the target's choices that the log never made, ``mean_weight`` is 1 of sound propensities.
    """

    estimates: tuple[Estimate, ...]
    on_policy: Estimate | None
    rows: int
    effective_size: float
    largest_weight: float
    clipped_rows: int
    mean_weight: float
    missing: float
    refusal: str = ""
    remedy: str = ""
    notes: tuple[str, ...] = ()


def evaluate(logs: Logs, *, clip: float | None = None, confidence: float = 0.95) -> Evaluation:
    """Evaluate by every estimator, or refuse."""
    log, target = logs.log, logs.target
    weights = weights_of(log, target, clip=clip)
    missing, examples = _unseen(logs)
    refusal, remedy = _refusal(weights, missing=missing, examples=examples)
    notes = list(logs.notes)
    if not refusal and missing:
        notes.append(
            f"{missing:.2%} of the target's choices were never logged ({examples}): they count as nothing in ips, by a guess in dr"
        )
    if not refusal and weights.clipped_rows:
        notes.append(f"{weights.clipped_rows:,} weights were clipped, which draws ips towards 0: look at dr")
    theirs = target.reward
    return Evaluation(
        estimates=() if refusal else tuple(estimate_all(log, target, weights, confidence=confidence)),
        on_policy=on_policy(theirs, confidence=confidence)
        if theirs is not None and len(theirs) > 1
        else None,
        rows=len(log.reward),
        effective_size=weights.effective_size,
        largest_weight=float(weights.ratio.max()),
        clipped_rows=weights.clipped_rows,
        mean_weight=float((weights.due * weights.ratio).mean()),
        missing=missing,
        refusal=refusal,
        remedy=remedy,
        notes=tuple(notes),
    )


def _refusal(weights: Weights, *, missing: float, examples: str) -> tuple[str, str]:
    if missing > MOST_MISSING:
        return (
            f"{missing:.1%} of the target's choices were never logged, such as {examples}: the log cannot tell what they are worth",
            "log with a policy that chooses everything now and then, or evaluate a target nearer to it",
        )
    if weights.effective_size < LEAST_EFFECTIVE:
        return (
            f"the log's {len(weights.ratio):,} rows say as much of the target as {weights.effective_size:.0f} of its own would",
            "the two policies differ too much: collect more, or evaluate a target nearer to the log's",
        )
    ours = weights.due * weights.ratio
    off, error = abs(float(ours.mean()) - (1 - missing)), float(ours.std()) / len(ours) ** 0.5
    if off > max(MOST_OFF, _SIGMAS * error):
        return (
            f"the weights' mean is {ours.mean():.3g} and would be 1: the propensities are not those of the log's choices",
            "a propensity is the chance of the logged action at its position, not of the whole slate, and no score",
        )
    return "", ""


def _unseen(logs: Logs) -> tuple[float, str]:
    """The share of the target's choices that the log never made, and the most frequent of them in words."""
    log: Log = logs.log
    target: Target = logs.target
    seen = np.zeros(target.counts.shape, bool)
    seen[log.positions, log.actions] = True
    unseen = np.where(seen, 0, target.counts)
    worst = [at for at in np.argsort(-unseen, axis=None, kind="stable")[:NAMED].tolist() if unseen.flat[at]]
    named = []
    for at in worst:
        position, action = divmod(at, target.counts.shape[1])
        where = f" at {logs.position_names[position]}" if logs.position_names[position] else ""
        named.append(f"{logs.action_names[action]}{where}")
    return float(unseen.sum() / target.counts.sum()), ", ".join(named)
