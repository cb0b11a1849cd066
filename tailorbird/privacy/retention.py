"""How long a workspace keeps what: the table ``[retention]`` of its privacy.toml."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BeforeValidator

from tailorbird.events.schema import EVENT_TYPES, SAID_TYPES
from tailorbird.streams.expiry import Which

DEFAULT = "default"
EXPOSURES, QUARANTINE, DEAD_LETTERS, PAST_PROFILES = (
    "exposures",
    "quarantine",
    "dead_letters",
    "past_profiles",
)
PLACES = (EXPOSURES, QUARANTINE, DEAD_LETTERS, PAST_PROFILES)
"""Names that are no event types here."""
_DAYS = {"d": 1, "w": 7, "y": 365}
_age = re.compile(r"([1-9]\d{0,4})([dwy])").fullmatch
_is_type = re.compile(r"[a-z][a-z0-9_]{0,63}").fullmatch


@dataclass(frozen=True)
class Retention:
    """Ages in days at which things go, by name: event types, ``default`` for those that are not named, and PLACES."""

    days: Mapping[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.days)

    def cutoff(self, name: str, *, now: float) -> float | None:
        """What is older than this instant (epoch seconds) goes; None where ``name`` is kept for good."""
        return now - self.days[name] * 86_400.0 if name in self.days else None

    def events(self, *, now: float, types: set[str]) -> Which:
        """Which events go, of those ``types`` that there are; a custom type without an age of its own has the default's."""
        found = []
        for name in sorted(types - SAID_TYPES):
            at = self.cutoff(name if name in self.days and name not in PLACES else DEFAULT, now=now)
            if at is not None:
                found.append([("type", "=", name), ("event_time", "<", at)])
        return found


def _checked(table: object) -> object:
    if not isinstance(table, dict):
        return table
    days: dict[str, int] = {}
    for name, text in table.items():
        found = _age(text) if isinstance(text, str) else None
        if not found:
            raise ValueError(f"{name} = {text!r} is none of 90d, 12w, 2y")
        if name in SAID_TYPES:
            raise ValueError(
                f"{name} decides which events are a profile's and what they may serve: it is kept until its person is erased"
            )
        if name not in (DEFAULT, *PLACES, *EVENT_TYPES) and not _is_type(name):
            raise ValueError(f"{name!r} is no event type, and none of {', '.join((DEFAULT, *PLACES))}")
        days[name] = int(found[1]) * _DAYS[found[2]]
    return days


Ages = Annotated[dict[str, int], BeforeValidator(_checked)]
"""As the file writes them, read into days."""
