"""A metric of an experiment: what is counted of a unit, how, and which exposure gets the credit."""

from dataclasses import dataclass
from enum import StrEnum

from tailorbird.experiments.reading.metric import Kind

DAY_SECONDS = 86_400.0


class Measure(StrEnum):
    """What is counted of a unit in a stretch of time."""

    EVENTS = "events"
    VALUE = "value"
    ITEMS = "items"
    ACTIVE_DAYS = "active_days"
    SESSIONS = "sessions"
    SESSION_MINUTES = "session_minutes"
    BOUNCES = "bounces"
    SLATES = "slates"
    FALLBACKS = "fallbacks"
    PLACES = "places"
    ITEMS_SEEN = "items_seen"
    CATEGORIES_SEEN = "categories_seen"
    LATENCY_MS = "latency_ms"
    CREDITED_SLATES = "credited_slates"
    DAYS_UNTIL_RETURN = "days_until_return"
    FUNNEL = "funnel"


OF_EVENTS = frozenset({Measure.EVENTS, Measure.VALUE, Measure.ITEMS, Measure.ACTIVE_DAYS})
OF_SESSIONS = frozenset({Measure.SESSIONS, Measure.SESSION_MINUTES, Measure.BOUNCES})
OF_SLATES = frozenset(
    {
        Measure.SLATES,
        Measure.FALLBACKS,
        Measure.PLACES,
        Measure.ITEMS_SEEN,
        Measure.CATEGORIES_SEEN,
        Measure.LATENCY_MS,
    }
)


class Attribution(StrEnum):
    """Which events count: all of the unit's, those that name a slate of the test, or those on an item that the test showed."""

    UNIT = "unit"
    RECOMMENDATION = "recommendation"
    ITEM = "item"


class Credit(StrEnum):
    """Which exposure of an item gets the credit for what was done with it within the window."""

    FIRST = "first"
    LAST = "last"
    ALL = "all"


@dataclass(frozen=True)
class Quantity:
    """One number of a unit: ``measure`` over ``types`` of events or ``scenarios`` of slates.

    ``window_hours`` and ``credit`` say for how long, and for which, showing an item is credited (attribution by item).
    """

    measure: Measure
    types: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()
    attribution: Attribution = Attribution.UNIT
    credit: Credit = Credit.LAST
    window_hours: float = 24.0
    away_hours: float = 12.0
    """Of ``days_until_return``: how long somebody was away before coming is a return."""

    @property
    def before_exists(self) -> bool:
        """Whether it means something before the test: not where the first slate of the test begins it."""
        return self.measure not in (Measure.DAYS_UNTIL_RETURN, Measure.FUNNEL)


@dataclass(frozen=True)
class DeclaredMetric:
    """A metric by name: ``of``, per ``per`` where it is a ratio.

    ``window_days``: only what a unit did within so many days from its first slate of the test counts, and only units whose
    days are over. ``before_days``: the covariate is the same of so many days before the test; 0 for none. ``winsorise``: values
    above this quantile of all units count as it.
    """

    name: str
    kind: Kind
    of: Quantity
    per: Quantity | None = None
    window_days: float | None = None
    before_days: float = 14.0
    winsorise: float | None = None
    cap: float | None = None
    lower_is_better: bool = False
    description: str = ""

    @property
    def has_covariate(self) -> bool:
        """Whether it is also measured before the test."""
        return self.before_days > 0 and self.of.before_exists and (self.per is None or self.per.before_exists)
