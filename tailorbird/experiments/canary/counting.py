"""What a canary and its control did so far, counted unit by unit from exposures and clicks as they come."""

import secrets
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from tailorbird.experiments.statistics.aggregates import PER, VALUE, aggregates
from tailorbird.experiments.statistics.frequentist import Estimate, estimates

MOST_SLATES = 200_000
"""Slates that wait for their clicks, the newest: a click comes soon or not at all."""
MOST_UNITS = 100_000
"""Units that are counted, the first: a canary is judged long before, and those who came go on being counted."""
UNFAILED = frozenset({"", "cold_start", "no_profile", "no_consent"})
"""Fallbacks that are no failure of an arm: too little is known of the person, whoever answers."""
ERRORS, LATENCY, CLICKS = "errors", "latency", "clicks"
MEASURES = (ERRORS, LATENCY, CLICKS)
_PAIR = ("control", "canary")


@dataclass(frozen=True)
class Shown:
    """One answer of the experiment; ``took_ms`` None where it was not measured."""

    recommendation_id: str
    unit: str
    variant: str
    failed: bool
    took_ms: float | None
    items: int


class Counts:
    """Sums of each unit: answers, failures, time of answers, slates and clicks on them.

    Units are known by a hash under a secret of this process: whoever is erased leaves numbers of nobody until it ends.
    """

    def __init__(self, variants: tuple[str, str]) -> None:
        self.variants = variants
        self._secret = secrets.token_bytes(16)
        self._place: dict[bytes, int] = {}
        self._codes: list[int] = []
        self._sums: list[list[float]] = []  # answers, failures, milliseconds, timed answers, slates, clicks
        self._slates: OrderedDict[str, int] = OrderedDict()

    def show(self, answers: Iterable[Shown]) -> None:
        """Count answers of the first MOST_UNITS units. A unit is of the variant that it saw first: one that changes is too rare to turn a verdict."""
        for answer in answers:
            unit = blake2b(answer.unit.encode(), key=self._secret, digest_size=8).digest()
            place = self._place.get(unit)
            if place is None:
                if len(self._codes) >= MOST_UNITS:
                    continue
                place = self._place[unit] = len(self._codes)
                self._codes.append(self.variants.index(answer.variant))
                self._sums.append([0.0] * 6)
            sums = self._sums[place]
            sums[0] += 1
            sums[1] += answer.failed
            if answer.took_ms is not None:
                sums[2] += answer.took_ms
                sums[3] += 1
            if answer.items:
                sums[4] += 1
                self._slates[answer.recommendation_id] = place
        while len(self._slates) > MOST_SLATES:
            self._slates.popitem(last=False)

    def click(self, recommendation_ids: Iterable[str]) -> None:
        """Count clicks on slates that were shown."""
        for each in recommendation_ids:
            place = self._slates.get(each)
            if place is not None:
                self._sums[place][5] += 1

    @property
    def units(self) -> dict[str, int]:
        """How many units each variant has."""
        counted = np.bincount(np.array(self._codes, np.int64), minlength=2)
        return dict(zip(self.variants, counted.tolist(), strict=True))

    def estimates(self, measure: str) -> tuple[Estimate, Estimate] | None:
        """Control's and the canary's mean of a measure per answer or slate; None where one has nothing to say of it."""
        if not self._codes:
            return None
        return estimates_of(np.array(self._codes), np.array(self._sums), measure)


def estimates_of(codes: np.ndarray, sums: np.ndarray, measure: str) -> tuple[Estimate, Estimate] | None:
    """The same of ``codes`` (n,), 0 for control and 1 for the canary, and ``sums`` (n, 6)."""
    of, per = {ERRORS: (1, 0), LATENCY: (2, 3), CLICKS: (5, 4)}[measure]
    some = sums[:, per] > 0
    codes = codes[some]
    if not codes.any() or codes.all():
        return None
    columns = {VALUE: sums[some, of], PER: sums[some, per]}
    found = estimates(aggregates(codes, columns, variants=_PAIR))
    return found[_PAIR[0]], found[_PAIR[1]]
