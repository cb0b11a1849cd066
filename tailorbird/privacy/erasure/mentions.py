"""Whom a raw row is about: people (person keys) one of whose ids is one of its values."""

import re
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet

import orjson

KeysOfId = Callable[[str], Iterable[str]]
"""Gives the person keys that a caller's id may have."""
SHORT = 6
"""An id of fewer characters may be any number or word: it counts only in a field that is about people."""
_ABOUT_PEOPLE = re.compile(
    r"user|person|people|customer|client|member|visitor|reviewer|account|anonymous|distinct|device",
    re.IGNORECASE,
)


def mentioned(
    rows: Iterable[str | None], *, people: AbstractSet[str], keys_of_id: KeysOfId
) -> list[set[str]]:
    """Those of ``people`` whom each raw row mentions.

    It is asked by the names that values would have, not by the ids of people: of somebody all of whose rows were refused no
    id is known anywhere, nor of somebody who was erased.
    """
    if not people:
        return [set() for _ in rows]
    return [
        {key for value in _values(row or "") for key in keys_of_id(value) if key in people} for row in rows
    ]


def _values(row: str) -> set[str]:
    """Every value of a row that may be somebody's id."""
    try:
        parsed = orjson.loads(row)
    except orjson.JSONDecodeError:
        return set(re.split(r"[\s,;|\t\"']+", row))
    found: set[str] = set()
    waiting: list[tuple[str, object]] = [("", parsed)]
    while waiting:
        field, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(str(name), each) for name, each in value.items()]
        elif isinstance(value, list):
            waiting += [(field, each) for each in value]
        elif value is not None and not isinstance(value, bool):
            text = str(value)
            if len(text) >= SHORT or _ABOUT_PEOPLE.search(field):
                found.add(text)
                if isinstance(value, float) and value.is_integer():
                    found.add(str(int(value)))
    return found
