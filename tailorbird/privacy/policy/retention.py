"""How long a workspace keeps what: the table ``[retention]`` of its privacy.toml."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BeforeValidator

from tailorbird.events.schema import EVENT_TYPES, SAID_TYPES
from tailorbird.streams.expiry import Which

DEFAULT = "default"
PURPOSES = "purposes"
EXPOSURES, QUARANTINE, DEAD_LETTERS, PAST_PROFILES = (
    "exposures",
    "quarantine",
    "dead_letters",
    "past_profiles",
)
PLACES = (EXPOSURES, QUARANTINE, DEAD_LETTERS, PAST_PROFILES)
"""Names that are no event types here."""
DAY = 86_400.0
_DAYS = {"d": 1, "w": 7, "y": 365}
_age = re.compile(r"([1-9]\d{0,4})([dwy])").fullmatch
_is_type = re.compile(r"[a-z][a-z0-9_]{0,63}").fullmatch


@dataclass(frozen=True)
class Retention:
    """Ages in days at which things go, by name: event types, ``default`` for those that are not named, and PLACES.

    ``purposes``: ages at which things serve a purpose no more, by purpose; ``last_use`` is the age at which they serve none
    of those there are, so that events go, None where one has no end.
    """

    days: Mapping[str, int] = field(default_factory=dict)
    purposes: Mapping[str, int] = field(default_factory=dict)
    last_use: int | None = None

    def __bool__(self) -> bool:
        return bool(self.days) or self.last_use is not None

    def useful_since(self, purpose: str, *, now: float) -> float | None:
        """What is older than this instant (epoch seconds) serves ``purpose`` no more; None where it serves for good.

        A midnight (UTC): all who read on one day, such as the trials of a study, are given the same.
        """
        return (math.ceil(now / DAY) - self.purposes[purpose]) * DAY if purpose in self.purposes else None

    def cutoff(self, name: str, *, now: float) -> float | None:
        """What is older than this instant (epoch seconds) goes; None where ``name`` is kept for good."""
        return now - self.days[name] * DAY if name in self.days else None

    def events(self, *, now: float, types: set[str]) -> Which:
        """Which events go, of those ``types`` that there are; a custom type without an age of its own has the default's."""
        found = []
        for name in sorted(types - SAID_TYPES):
            own = self.cutoff(name if name in self.days and name not in PLACES else DEFAULT, now=now)
            useless = None if self.last_use is None else now - self.last_use * DAY
            ends = [at for at in (own, useless) if at is not None]
            if ends:
                found.append([("type", "=", name), ("event_time", "<", max(ends))])
        return found


@dataclass(frozen=True)
class Ages:
    """The table as the file writes it, read into days: by event type and place, and by purpose."""

    days: Mapping[str, int] = field(default_factory=dict)
    purposes: Mapping[str, int] = field(default_factory=dict)


def _checked(table: object) -> object:
    if not isinstance(table, dict):
        return table
    days = {name: _days(name, text) for name, text in table.items() if name != PURPOSES}
    for name in days:
        if name in SAID_TYPES:
            raise ValueError(
                f"{name} decides which events are a profile's and what they may serve: it is kept until its person is erased"
            )
        if name not in (DEFAULT, *PLACES, *EVENT_TYPES) and not _is_type(name):
            raise ValueError(f"{name!r} is no event type, and none of {', '.join((DEFAULT, *PLACES))}")
    purposes = table.get(PURPOSES, {})
    if not isinstance(purposes, dict):
        raise ValueError(f"{PURPOSES} = {purposes!r} is no table of ages by purpose")
    return Ages(days, {name: _days(f"{PURPOSES}.{name}", text) for name, text in purposes.items()})


def _days(name: str, text: object) -> int:
    found = _age(text) if isinstance(text, str) else None
    if not found:
        raise ValueError(f"{name} = {text!r} is none of 90d, 12w, 2y")
    return int(found[1]) * _DAYS[found[2]]


AgesTable = Annotated[Ages, BeforeValidator(_checked)]
