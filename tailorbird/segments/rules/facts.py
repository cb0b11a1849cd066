"""What rules can ask of a person at an instant: one table of facts, each a pure function of the profile and what was told."""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from tailorbird.features.demographics import NOBODY, Demographics
from tailorbird.features.history.records import MICROSECONDS
from tailorbird.features.history.sums import TYPE_CODE
from tailorbird.features.portrait.windows import WINDOWS, spent_in, within
from tailorbird.features.profile.state import UserState
from tailorbird.features.table import DEVICES, REFERRERS

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
COUNTED: Mapping[str, str] = {
    "views": "view",
    "clicks": "click",
    "searches": "search",
    "carts": "add_to_cart",
    "purchases": "purchase",
    "ratings": "rating",
    "likes": "like",
    "hides": "hide",
}
"""The type of event that each count is of."""
_SPOKEN = {"15m": "15 minutes", "1h": "hour", "24h": "24 hours", "30d": "30 days"}
_DAY = 86_400.0
_PLACES = len(DEVICES) + 1  # features.context.setting_of


@dataclass(frozen=True)
class _Person:
    """Who is asked about, and when (epoch seconds); a window is looked up once."""

    state: UserState
    now: float
    demographics: Demographics
    segment: str
    windows: dict[str, np.ndarray] = field(default_factory=dict)

    def window(self, name: str) -> np.ndarray:
        """(n,) RECORD of the events in a window."""
        if name not in self.windows:
            self.windows[name] = within(self.state.history, seconds=WINDOWS[name], now=self.now)
        return self.windows[name]

    def days_since(self, instant: int | None) -> float | None:
        """Days since an instant (epoch microseconds), 0 for one to come; None for none."""
        return None if instant is None else max(0.0, self.now - instant / MICROSECONDS) / _DAY

    @property
    def latest(self) -> int | None:
        """When the latest event of the history happened (epoch microseconds)."""
        history = self.state.history
        return int(history["time"][-1]) if len(history) else None

    @property
    def setting(self) -> int:
        """Of the latest event of the history: device and referrer, packed."""
        history = self.state.history
        return int(history["setting"][-1]) if len(history) else 0

    @property
    def clock(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self.now, dt.UTC)


@dataclass(frozen=True)
class Fact:
    """One fact: ``read`` says its value, None where it is not known; a text of ``values``, where these are all there are."""

    kind: Literal["number", "text"]
    description: str
    read: Callable[[_Person], str | float | None]
    values: tuple[str, ...] = ()


def _count(window: str, event_type: str) -> Fact:
    code = TYPE_CODE[event_type]
    return Fact(
        "number",
        f"{event_type} events of the last {_SPOKEN[window]}, at least",
        lambda person: float((person.window(window)["type"] == code).sum()),
    )


def _events(window: str) -> Fact:
    return Fact(
        "number",
        f"events of the last {_SPOKEN[window]}, at least, without impressions, hovers and scrolls",
        lambda person: float(len(person.window(window))),
    )


def _spent(window: str) -> Fact:
    return Fact(
        "number",
        f"what the purchases of the last {_SPOKEN[window]} were worth, at least",
        lambda person: spent_in(person.window(window)),
    )


def _one_of(known: tuple[str, ...], place: int) -> str | None:
    return known[place - 1] if 0 < place <= len(known) else None


FACTS: Mapping[str, Fact] = {
    **{f"{name}_{window}": _count(window, each) for name, each in COUNTED.items() for window in WINDOWS},
    **{f"events_{window}": _events(window) for window in WINDOWS},
    **{f"spent_{window}": _spent(window) for window in WINDOWS},
    "days_since_visit": Fact(
        "number",
        "days since the latest event that is not an impression, hover or scroll",
        lambda person: person.days_since(person.latest),
    ),
    "days_since_first": Fact(
        "number",
        "days since the first event",
        lambda person: person.days_since(person.state.first_seen if person.state.total else None),
    ),
    "device": Fact(
        "text",
        "of the latest event of the history",
        lambda person: _one_of(DEVICES, person.setting % _PLACES),
        DEVICES,
    ),
    "referrer": Fact(
        "text",
        "of the latest event of the history",
        lambda person: _one_of(REFERRERS, person.setting // _PLACES),
        REFERRERS,
    ),
    "hour": Fact("number", "of the instant, 0 to 23, UTC", lambda person: float(person.clock.hour)),
    "weekday": Fact("text", "of the instant, UTC", lambda person: WEEKDAYS[person.clock.weekday()], WEEKDAYS),
    "age": Fact(
        "number",
        "in years, as told",
        lambda person: (
            None if person.demographics.age != person.demographics.age else person.demographics.age
        ),
    ),
    "gender": Fact("text", "as told", lambda person: person.demographics.gender or None),
    "country": Fact("text", "as told", lambda person: person.demographics.country or None),
    "segment": Fact("text", "key of the learned segment", lambda person: person.segment or None),
}
"""By name. Windows count the events that a profile keeps, the last 128 by default: of more they say at least."""


def facts_of(
    state: UserState,
    *,
    now: float,
    demographics: Demographics = NOBODY,
    segment: str = "",
    names: Iterable[str] = tuple(FACTS),
) -> dict[str, str | float | None]:
    """The facts ``names`` of one person at ``now`` (epoch seconds), who is in the learned ``segment`` (key, "" for none)."""
    person = _Person(state, now, demographics, segment)
    return {name: FACTS[name].read(person) for name in names}
