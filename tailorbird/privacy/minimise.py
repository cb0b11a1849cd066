"""What of an event is stored as it came: numbers, truth values and the words that somebody declared. Other texts are personal.

A text that nobody declared may be anything: a name, an address, what somebody searched for. It is taken out, and stored only
sealed under the person's own key, or not at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tailorbird.features.table import DEVICES, REFERRERS

_WORDS: Mapping[str, frozenset[str]] = {"device": frozenset(DEVICES), "referrer": frozenset(REFERRERS)}
"""Context whose texts are kept where they are one of these words, which no person can be known by."""
SEALED = "sealed"
"""The property that holds what was taken out, encrypted."""


class Parted(NamedTuple):
    """``kept`` + ``personal`` = what came; each an object."""

    kept: dict[str, object]
    personal: dict[str, object]


@dataclass(frozen=True)
class Declared:
    """Names whose texts are stored as they are, because an operator or a mapping says that nothing personal is in them."""

    context: frozenset[str] = frozenset()
    properties: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    """Attributes of people."""


NOTHING_DECLARED = Declared()


def parted_context(context: Mapping[str, object], *, declared: Declared = NOTHING_DECLARED) -> Parted:
    """Part a context: known devices and referrers, numbers, truth values and declared texts are kept."""
    kept: dict[str, object] = {}
    personal: dict[str, object] = {}
    for name, value in context.items():
        words = _WORDS.get(name)
        if words is not None and isinstance(value, str):
            (kept if value.lower() in words else personal)[name] = value
        elif isinstance(value, Mapping):  # such as consent: truth values by purpose
            inner = {key: each for key, each in value.items() if _plain(each)}
            if inner:
                kept[name] = inner
            if len(inner) < len(value):
                personal[name] = {key: each for key, each in value.items() if key not in inner}
        else:
            (kept if _plain(value) or name in declared.context else personal)[name] = value
    return Parted(kept, personal)


def parted_properties(properties: Mapping[str, object], *, declared: Declared = NOTHING_DECLARED) -> Parted:
    """Part the properties of an event: numbers, truth values and declared texts are kept."""
    kept: dict[str, object] = {}
    personal: dict[str, object] = {}
    for name, value in properties.items():
        (kept if _plain(value) or name in declared.properties else personal)[name] = value
    personal.update({SEALED: kept.pop(SEALED)} if SEALED in kept else {})  # a sender's own word of this name
    return Parted(kept, personal)


def kept_attributes(
    attributes: Mapping[str, object], *, declared: Declared = NOTHING_DECLARED
) -> dict[str, object]:
    """Those attributes of a person that may be kept: numbers, truth values and declared texts."""
    return {name: each for name, each in attributes.items() if _plain(each) or name in declared.users}


def _plain(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float)
