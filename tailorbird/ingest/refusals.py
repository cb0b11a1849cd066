"""What a report says of refused values: how they look and what was expected, never the values, which may be personal."""

import re

from tailorbird.events.schema import SCHEMA
from tailorbird.events.validation import Validated

_KINDS = ("wrong type", "bad time")
_MOST_LETTERS = 32
_TIME = (
    'a time such as 2026-11-17T09:30:00Z; a mapping reads others: { time = "…", format = "%d.%m.%Y %H:%M" }'
)
_NUMBER = 'a number such as 12.50; a mapping reads 12,50: { column = "…", decimal = "," }'
_EXPECTED = {
    "before 1990": "a time of 1990 or later; of numbers a mapping says the unit: s, ms, us or ns",
    "event_time": _TIME,
    "received_time": _TIME,
    "position": _NUMBER,
    "value": _NUMBER,
}
_FIELDS = ("before 1990", *SCHEMA.names)


def hints(validated: Validated) -> dict[str, str]:
    """By reason that names a field: the look of its first value, each digit a 9 and each letter an a, and what fits there."""
    found: dict[str, str] = {}
    for whole in validated.quarantined["reason"]:
        for each in whole.split("; "):
            kind, _, told = each.partition(": ")
            field = next((name for name in _FIELDS if told.startswith(f"{name} ")), "")
            if kind not in _KINDS or not field or f"{kind}: {field}" in found:
                continue
            hint = f"looks like {_look(told.removeprefix(field).strip())}, expected {_EXPECTED.get(field, 'a text')}"
            if hint not in found.values():  # received_time is event_time where nobody says it
                found[f"{kind}: {field}"] = hint
    return found


def _look(value: str) -> str:
    look = re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", value))
    return look if len(look) <= _MOST_LETTERS else f"{look[:_MOST_LETTERS]}…"
