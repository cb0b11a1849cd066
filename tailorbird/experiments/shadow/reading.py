"""The readout of a shadow: how like the champion's its answers are, what they cost, and whether it may be shown to some."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from tailorbird.errors import UsageError
from tailorbird.experiments.design.experiment import Tolerance
from tailorbird.experiments.reading.verdict import Decision, Verdict
from tailorbird.experiments.running.entries import Entry
from tailorbird.experiments.shadow.comparing import Sums
from tailorbird.experiments.shadow.tallies import Tally
from tailorbird.experiments.statistics.frequentist import Interval

LEAST = 100
"""Answers from which on something is concluded."""


@dataclass(frozen=True)
class Share:
    """A mean over answers, with its interval; None where there is nothing to average, or all are of one group of people."""

    value: float | None
    interval: Interval | None


@dataclass(frozen=True)
class ShadowReadout:
    """What a shadow did until ``end`` (epoch seconds); ``failures`` are points by which it fails more often than the champion."""

    entry: Entry
    end: float
    asked: int
    dropped: int
    missing: int
    compared: int
    overlap: Share
    same_first: Share
    correlation: Share
    failed: Share
    control_failed: Share
    failures: Share
    fallbacks: Share
    control_fallbacks: Share
    ms: Share
    control_ms: Share
    latency_ratio: Share
    """Of the sums of processor time; the typical answer's is ``typical_ratio``, a geometric mean."""
    typical_ratio: Share

    @property
    def tolerance(self) -> Tolerance:
        """What it may be worse by."""
        return self.entry.experiment.tolerance


def read_shadow(entry: Entry, tally: Tally, *, now: float) -> ShadowReadout:
    """Read what was added up of a shadow. Raises UsageError: it was asked nothing yet."""
    column = {name: tally.sums[:, at] for at, name in enumerate(Sums._fields)}
    confidence = entry.experiment.confidence
    if not column["asked"].any():
        raise UsageError(
            f"the shadow {entry.key!r} was asked nothing yet",
            remedy="look at its share and audience; replicas write what they compared every few seconds",
        )

    def of(name: str, per: str, *, times: float = 1.0) -> Share:
        return ratio(times * column[name], column[per], confidence=confidence)

    logs = of("log_ratio", "compared")
    return ShadowReadout(
        entry=entry,
        end=now if entry.stopped is None else min(now, entry.stopped),
        asked=int(column["asked"].sum()),
        dropped=tally.dropped,
        missing=int(column["missing"].sum()),
        compared=int(column["compared"].sum()),
        overlap=of("overlap", "compared"),
        same_first=of("same_first", "compared"),
        correlation=of("correlation", "correlated"),
        failed=ratio(column["failed"] + column["missing"], column["asked"], confidence=confidence),
        control_failed=of("control_failed", "asked"),
        failures=ratio(
            column["failed"] + column["missing"] - column["control_failed"],
            column["asked"],
            confidence=confidence,
        ),
        fallbacks=of("fallbacks", "asked"),
        control_fallbacks=of("control_fallbacks", "asked"),
        ms=of("seconds", "compared", times=1_000.0),
        control_ms=of("control_seconds", "compared", times=1_000.0),
        latency_ratio=of("seconds", "control_seconds"),
        typical_ratio=Share(
            None if logs.value is None else math.exp(logs.value),
            logs.interval and (math.exp(logs.interval[0]), math.exp(logs.interval[1])),
        ),
    )


def ratio(values: np.ndarray, per: np.ndarray, *, confidence: float) -> Share:
    """The ratio of sums over groups (g,), its interval by the delta method over those that have any, Student's t.

    >>> ratio(np.array([2.0, 2.0, 2.0]), np.array([4.0, 4.0, 4.0]), confidence=0.95)
    Share(value=0.5, interval=(0.5, 0.5))
    """
    some = per > 0
    values, per, groups = values[some], per[some], int(some.sum())
    if not groups:
        return Share(None, None)
    mean = float(values.sum() / per.sum())
    if groups < 2:
        return Share(mean, None)
    rest = values - mean * per
    error = math.sqrt(float((rest**2).sum()) * groups / (groups - 1)) / float(per.sum())
    half = float(stdtrit(groups - 1, (1 + confidence) / 2)) * error
    return Share(mean, (mean - half, mean + half))


def verdict_of(readout: ShadowReadout) -> Verdict:
    """Whether the shadow is fit to be shown to some: it answers, and takes no more time than is tolerated. Liking is not asked of anybody."""
    experiment = readout.entry.experiment
    name, control = experiment.treatments[0].name, experiment.control
    if readout.asked < LEAST:
        return Verdict(Decision.CANNOT_TELL, f"cannot tell: {readout.asked} questions; {LEAST} are the least")
    worse = _worse(readout)
    if worse:
        return Verdict(
            Decision.KEEP, f"{name} is not fit to be shown: {'; '.join(worse)}; keep {control}", control
        )
    return Verdict(
        Decision.WEIGH,
        f"{name} answers as well as {control}: {_points(readout.failed)} % fail ({_points(readout.control_failed)} % of {control}'s), "
        f"in {_number(readout.latency_ratio)} times the processor's time; {_points(readout.overlap)} % of the places hold the same items. "
        "Whether people like it a canary or a test says",
        name,
    )


def _worse(readout: ShadowReadout) -> list[str]:
    """By what it is worse for sure: its interval lies beyond what is tolerated."""
    found, tolerance = [], readout.tolerance
    failures, latency = readout.failures, readout.latency_ratio
    if failures.interval and failures.interval[0] > tolerance.errors:
        found.append(
            f"{_points(readout.failed)} % of its answers fail instead of {_points(readout.control_failed)} %"
            + (f" ({readout.missing:,} for want of its version)" if readout.missing else "")
        )
    if latency.interval and latency.interval[0] > 1 + tolerance.latency:
        found.append(f"an answer takes {_number(latency)} times the processor's time")
    return found


def _points(share: Share) -> str:
    return "-" if share.value is None else f"{100 * share.value:.3g}"


def _number(share: Share) -> str:
    return "-" if share.value is None else f"{share.value:.2f}"
