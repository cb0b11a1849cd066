"""Which of two rankings people prefer: slates that speak for one, by unit, tested over units."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import betaln, ndtr, ndtri
from scipy.stats import binomtest

from tailorbird.errors import UsageError
from tailorbird.experiments.deciding.progress import more_days
from tailorbird.experiments.deciding.question import Question
from tailorbird.experiments.interleaving.counting import Preferences
from tailorbird.experiments.reading.verdict import Decision, Verdict
from tailorbird.experiments.statistics.aggregates import PER, VALUE, aggregates
from tailorbird.experiments.statistics.frequentist import Estimate, Interval, compare_means, estimates
from tailorbird.experiments.statistics.power import POWER
from tailorbird.experiments.statistics.sequential import (
    FIRST_LOOK,
    always_valid_interval,
    always_valid_p_value,
    sequence_width,
)
from tailorbird.experiments.statistics.srm import ALARM

FEW_UNITS = 30
"""Units with a preference below which nothing is concluded: the test stands on the central limit theorem."""


@dataclass(frozen=True)
class Preferred:
    """What units prefer.

    ``net``: of the slates that speak for one, those for the treatment less those for control, as a part of them all,
    -1 to 1; its interval and p-value are of units (delta method; a slate is no unit), and there are none where all units say the same.
    ``sign_p``: that as many units prefer either, by the exact sign test. The ``always`` ones hold however often one looks.
    """

    units: int
    slates: int
    won: int
    lost: int
    units_won: int
    units_lost: int
    net: Estimate
    interval: Interval | None
    p_value: float | None
    always_interval: Interval | None
    always_p: float | None
    sign_p: float
    always_sign_p: float
    draft_p: float
    """That both teams picked as often, as they do by design."""

    @property
    def unanimous(self) -> bool:
        """Whether all units say the same, so that only their number tells how sure that is."""
        return self.net.units > 1 and not self.net.variance > 0

    @property
    def per_slate(self) -> float:
        """The same over all slates, tied ones among them."""
        return (self.won - self.lost) / self.slates


@dataclass(frozen=True)
class PreferenceReadout:
    """What the slates of ``question`` say."""

    question: Question
    preferred: Preferred
    units_needed: int | None
    days_more: int | None
    notes: tuple[str, ...] = ()

    @property
    def units(self) -> int:
        """How many there are."""
        return self.preferred.units

    @property
    def decides_by(self) -> str:
        """The name of the p-value of :class:`Preferred` that decides now."""
        always = "always_" * self.question.looking
        if self.preferred.unanimous:
            return f"{always}sign_p"
        return "always_p" if self.question.looking else "p_value"

    @property
    def decides(self) -> tuple[Interval | None, float | None]:
        """The interval and p-value that decide now; where units are unanimous the sign test's, which has no interval of the net."""
        found = self.preferred
        p_value: float | None = getattr(found, self.decides_by)
        return found.always_interval if self.question.looking else found.interval, p_value


def preferred_of(counted: Preferences, *, confidence: float) -> Preferred:
    """Test what was counted; the net is NaN where no slate speaks for either."""
    tells = counted.won + counted.lost > 0
    won, lost = counted.won[tells], counted.lost[tells]
    net = _net(won, lost)
    nothing = Estimate(0.0, 0.0, net.units)
    compared = compare_means(nothing, net, confidence=confidence) if net.units > 1 else None
    units_won, units_lost = int((won > lost).sum()), int((won < lost).sum())
    either = units_won + units_lost
    return Preferred(
        units=len(counted),
        slates=int(counted.slates.sum()),
        won=int(won.sum()),
        lost=int(lost.sum()),
        units_won=units_won,
        units_lost=units_lost,
        net=net,
        interval=compared.difference_interval if compared else None,
        p_value=compared.p_value if compared else None,
        always_interval=always_valid_interval(nothing, net, confidence=confidence)[0],
        always_p=always_valid_p_value(nothing, net, confidence=confidence),
        sign_p=float(binomtest(units_won, either).pvalue) if either else 1.0,
        always_sign_p=_always_sign_p(units_won, units_lost),
        draft_p=_draft_p(counted),
    )


def read_preferences(
    question: Question, counted: Preferences, *, notes: Sequence[str] = ()
) -> PreferenceReadout:
    """Read what was counted of an interleaving. Raises UsageError: nobody is in it."""
    if not len(counted):
        raise UsageError(
            f"experiment {question.key!r} has shown nobody an interleaved slate",
            remedy="look at its share and audience, or wait for people to come",
        )
    found = preferred_of(counted, confidence=question.confidence)
    needed = days = None
    if found.net.units > 1 and found.net.variance > 0:
        error = float(np.sqrt(found.net.variance))
        critical = float(ndtri((1 + question.confidence) / 2))
        if question.looking:
            critical = sequence_width(2 * found.net.units, confidence=question.confidence)
        factor = ((critical + float(ndtri(POWER))) * error / question.minimum_effect) ** 2
        needed = int(np.ceil(found.units * factor))
        days = more_days(question, counted.first, factor=factor)
    return PreferenceReadout(question, found, needed, days, tuple(notes))


def verdict_of(readout: PreferenceReadout) -> Verdict:
    """What to do, in words."""
    question, found = readout.question, readout.preferred
    control, treatment = question.control, question.treatments[0]
    if found.draft_p < ALARM:
        return Verdict(
            Decision.BROKEN,
            f"broken: the draft is off: both teams pick as often by design, and here one picked more (p = {found.draft_p:.1g}); "
            "look whether all slates are stored before you conclude anything",
        )
    interval, p_value = readout.decides
    said = f"of the slates that tell, {found.won:,} of {found.won + found.lost:,} are for {treatment}"
    enough = FIRST_LOOK if question.looking else FEW_UNITS
    if p_value is None or found.net.units < enough or (interval is None and not found.unanimous):
        return Verdict(
            Decision.CANNOT_TELL,
            f"cannot tell: {said}, of {found.net.units:,} units that prefer anything; {enough} are the least",
        )
    if interval is None:
        between = f"{said}, and all {found.net.units:,} units say the same (sign test, p = {p_value:.1g})"
    else:
        between = f"{said} ({_share(interval[0])}{EN_DASH}{_share(interval[1])} %)"
    if p_value < 1 - question.confidence:
        if found.net.mean > 0:
            return Verdict(
                Decision.SHIP,
                f"{treatment} is preferred by {question.primary.name}: {between}; ship",
                treatment,
            )
        return Verdict(
            Decision.KEEP,
            f"{control} is preferred by {question.primary.name}: {between}; keep {control}",
            control,
        )
    least = question.minimum_effect
    if interval is not None and -least < interval[0] and interval[1] < least:
        return Verdict(
            Decision.KEEP,
            f"no preference worth {100 * least:g} %: {between}; keep {control}",
            control,
        )
    more = "more units"
    if readout.days_more is not None:
        more = f"{readout.days_more:,} more days" if readout.days_more else "some more units"
    return Verdict(
        Decision.CANNOT_TELL,
        f"cannot tell; needs {more} for a net preference of {100 * least:g} % ({between})",
    )


EN_DASH = "\u2013"


def _share(net: float) -> str:
    """A net as the share of slates that are for the treatment, in per cent."""
    return f"{50 * (1 + min(max(net, -1.0), 1.0)):.1f}"


def _net(won: np.ndarray, lost: np.ndarray) -> Estimate:
    if not len(won):
        return Estimate(np.nan, np.nan, 0)
    codes = np.zeros(len(won), np.int64)
    value, per = won - lost, won + lost
    net = estimates(aggregates(codes, {VALUE: value, PER: per}, variants=["net"]))["net"]
    same = (value * per[0] == value[0] * per).all()  # whole numbers, of which the variance may keep a rest
    return replace(net, variance=0.0) if same else net


def _always_sign_p(won: int, lost: int) -> float:
    """The sign test's p-value that holds at every look: the likelihood ratio of any share, all as likely, upside down (Ville 1939)."""
    return float(np.exp(min(0.0, -(betaln(won + 1, lost + 1) + (won + lost) * np.log(2)))))


def _draft_p(counted: Preferences) -> float:
    """By the normal approximation: of each slate the teams' picks differ by one at most, to either side as likely."""
    if not counted.ahead_squared:
        return 1.0
    return float(2 * ndtr(-abs(counted.ahead) / np.sqrt(counted.ahead_squared)))
