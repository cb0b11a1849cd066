"""What a report says of refused values: how they look and what was expected, never the values, which may be personal."""

import re

from tailorbird.events.validation import Validated

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


def hints(validated: Validated) -> dict[str, str]:
    """By reason that names a field: the look of its first value, each digit a 9 and each letter an a, and what fits there."""
    found: dict[str, str] = {}
    for reason, whole in zip(validated.first_reasons, validated.quarantined["reason"], strict=True):
        field = reason.partition(": ")[2]
        if field and reason not in found:
            value = whole.removeprefix(reason).partition("; ")[0].strip()
            found[reason] = f"looks like {_look(value)}, expected {_EXPECTED.get(field, 'a text')}"
    return found


def _look(value: str) -> str:
    look = re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", value))
    return look if len(look) <= _MOST_LETTERS else f"{look[:_MOST_LETTERS]}…"
