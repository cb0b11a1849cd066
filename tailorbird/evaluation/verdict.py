"""Is a candidate better, not worse, worse, or can one not tell: paired non-inferiority over users, and the cases it takes.

The same cases are asked of both models, and a user's cases hang together, so the unit of chance is the user: intervals
are Student's, with the cluster-robust (linearized) variance of a mean over cases and the degrees of freedom of as many
users of equal weight that would say as much (Liang, Zeger 1986; Carter, Schnepel, Steigerwald 2017). The margin is a share of
the champion's own mean: with ``d = candidate - (1 - margin) * champion``, "not worse" means that the whole interval of ``d``
lies above 0 (Laster, Johnson 2003).
"""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.special import ndtri, stdtrit

from tailorbird.evaluation.bootstrap import Interval

POWER = 0.8
"""The chance to tell, of two models that are equally good, that the candidate is not worse."""
MOST_TIMES_NARROWER = 1000.0
"""An interval that must become narrower than this takes a million times the cases: nobody is told to wait for them."""


class Verdict(StrEnum):
    """What the figures say of a candidate beside its champion."""

    BETTER = "better"
    NOT_WORSE = "not worse"
    WORSE = "worse"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class Comparison:
    """Two models on ``cases`` common cases of ``users``: their means, the interval of the difference, the verdict.

    ``beyond_margin`` is the interval of ``candidate - (1 - margin) * champion``. ``enough_cases`` says, where one cannot
    tell, how many cases would most likely do; None where none would be, because there is nothing to tell apart.
    """

    candidate: float
    champion: float
    difference: Interval
    beyond_margin: Interval
    cases: int
    users: int
    verdict: Verdict
    enough_cases: int | None = None


def compare(
    candidate: np.ndarray, champion: np.ndarray, *, users: np.ndarray, margin: float, confidence: float
) -> Comparison:
    """Compare two models' values (n,) of the same cases; ``users`` (n,) says whose case each is.

    ``margin`` is the share of the champion's mean that may be lost, ``confidence`` the two-sided level of the intervals:
    the chance to pass a model that loses exactly the margin is ``(1 - confidence) / 2``.
    """
    ours, theirs = np.asarray(candidate, float), np.asarray(champion, float)
    difference = mean_interval(ours - theirs, users=users, confidence=confidence)
    beyond = mean_interval(ours - (1 - margin) * theirs, users=users, confidence=confidence)
    verdict = _verdict(difference, beyond)
    enough = None
    if verdict is Verdict.CANNOT_TELL and len(ours):
        allowed = margin * float(theirs.mean())
        enough = _enough_cases(difference, beyond, cases=len(ours), allowed=allowed, confidence=confidence)
    return Comparison(
        candidate=float(ours.mean()) if len(ours) else math.nan,
        champion=float(theirs.mean()) if len(ours) else math.nan,
        difference=difference,
        beyond_margin=beyond,
        cases=len(ours),
        users=len(np.unique(users)),
        verdict=verdict,
        enough_cases=enough,
    )


def mean_interval(values: np.ndarray, *, users: np.ndarray, confidence: float) -> Interval:
    """The mean of ``values`` (n,) and its interval over users; without two users it is everything there is."""
    if not len(values):
        return Interval(math.nan, -math.inf, math.inf)
    mean = float(np.mean(values))
    _, whose, often = np.unique(users, return_inverse=True, return_counts=True)
    # Users of equal weight that say as much as these: n^2 / sum n_g^2.
    effective = len(values) ** 2 / float((often.astype(float) ** 2).sum())
    if effective <= 1.0 + 1e-9:
        return Interval(mean, -math.inf, math.inf)
    scores = np.bincount(whose, np.asarray(values, float) - mean)  # (users,) sums of residuals
    groups = len(often)
    variance = groups / (groups - 1) * float((scores**2).sum()) / len(values) ** 2
    half = float(stdtrit(effective - 1.0, (1 + confidence) / 2)) * math.sqrt(variance)
    return Interval(mean, mean - half, mean + half)


def _verdict(difference: Interval, beyond: Interval) -> Verdict:
    if difference.low > 0:
        return Verdict.BETTER
    if beyond.low > 0:
        return Verdict.NOT_WORSE
    if difference.high < 0:
        return Verdict.WORSE
    if difference.low == difference.high == 0:  # the same answers to every case
        return Verdict.NOT_WORSE
    return Verdict.CANNOT_TELL


def _enough_cases(
    difference: Interval, beyond: Interval, *, cases: int, allowed: float, confidence: float
) -> int | None:
    """The cases with which one would tell, with ``POWER``, if the two are equally good.

    Where as many did not do, the two are not: then the cases that would tell if they are as good as they look now.
    """
    # Half of the interval, and the room that power asks for.
    stretch = 1 + float(ndtri(POWER) / ndtri((1 + confidence) / 2))
    reach = stretch * (beyond.mean - beyond.low)
    if reach > allowed > 0:
        return _scaled(cases, reach / allowed)
    if beyond.mean > 0:
        return _scaled(cases, reach / beyond.mean)
    reach = stretch * (difference.mean - difference.low)
    return _scaled(cases, reach / -difference.mean) if difference.mean < 0 else None


def _scaled(cases: int, times_narrower: float) -> int | None:
    """The cases whose interval is so many times narrower; None beyond what anybody has."""
    return math.ceil(cases * times_narrower**2) if times_narrower < MOST_TIMES_NARROWER else None
