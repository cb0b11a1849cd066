"""Whether a canary goes back: it is worse by more than is tolerated, and that holds however often one looks."""

from dataclasses import dataclass
from typing import Protocol

from tailorbird.experiments.canary.counting import CLICKS, ERRORS, LATENCY, MEASURES
from tailorbird.experiments.design.experiment import Tolerance
from tailorbird.experiments.statistics.frequentist import Estimate
from tailorbird.experiments.statistics.sequential import always_valid_p_value

TUNED_UNITS = 2_000
"""Units of both variants at which the sequences are narrowest: a canary is judged early or not at all."""
ALPHA = 0.05
"""Of canaries that are no worse, at most so many go back, over all measures and looks together."""


@dataclass(frozen=True)
class Harm:
    """One thing by which a canary is worse: means of control and canary, and how sure that is."""

    measure: str
    control: float
    canary: float
    p_value: float

    @property
    def words(self) -> str:
        """For the ledger."""
        if self.measure == ERRORS:
            return f"failed answers: {self.canary:.2%} instead of {self.control:.2%}"
        if self.measure == LATENCY:
            return f"an answer takes {self.canary:.1f} ms instead of {self.control:.1f}"
        return f"clicks per slate: {self.canary:.4g} instead of {self.control:.4g}"


class Counted(Protocol):
    """What was counted of a canary and its control."""

    def estimates(self, measure: str) -> tuple[Estimate, Estimate] | None:
        """Both means; None where there are not two."""


def harms(counts: Counted, tolerance: Tolerance) -> list[Harm]:
    """By what a canary is worse than is tolerated, for sure.

    Each measure is tested by an always-valid one-sided p-value at ALPHA / 3 (Bonferroni): half the two-sided one where the
    difference is for the worse.
    """
    found = []
    for measure in MEASURES:
        pair = counts.estimates(measure)
        if pair is None:
            continue
        control, canary = pair
        p_value = always_valid_p_value(control, canary, tuned_units=TUNED_UNITS)
        if p_value is None or p_value / 2 > ALPHA / len(MEASURES):
            continue
        if _worse_by_too_much(measure, control.mean, canary.mean, tolerance):
            found.append(Harm(measure, control.mean, canary.mean, p_value / 2))
    return found


def _worse_by_too_much(measure: str, control: float, canary: float, tolerance: Tolerance) -> bool:
    if measure == ERRORS:
        return canary - control > tolerance.errors
    if measure == LATENCY:
        return canary > control * (1 + tolerance.latency)
    assert measure == CLICKS
    return canary < control * (1 - tolerance.clicks)
