"""What of an event is stored as it came: numbers, truth values and the words that somebody declared. Other texts are personal.

A text that nobody declared may be anything: a name, an address, what somebody searched for. So may a number that is long
enough for a card or a telephone, and a name that no programmer gave. It is taken out, and stored only sealed under the
person's own key, or not at all.
"""

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from string import ascii_lowercase
from typing import NamedTuple

from tailorbird.features.consent.consents import SAID
from tailorbird.features.consent.standing import GIVEN
from tailorbird.features.table import DEVICES, REFERRERS

_WORDS: Mapping[str, frozenset[str]] = {
    "device": frozenset(DEVICES),
    "referrer": frozenset(REFERRERS),
    "country": frozenset(f"{one}{other}" for one in ascii_lowercase for other in ascii_lowercase),
}
"""Context whose texts are kept where they are one of these words, which no person can be known by."""
LONG_NUMBER = 10**8
"""Numbers of nine digits and more tell people apart: telephones, cards, accounts. None that a feature reads is so large."""
is_word = re.compile(r"(?!.*\d{7})[^\W\d][\w.:$-]{0,63}").fullmatch
"""Whether a name is one that programs use: without spaces, addresses and long numbers."""
_is_plain_word = re.compile(r"[^\W\d_][^\d@_:;/\\]{0,31}").fullmatch
_is_name = re.compile(r".*\s[A-Z].*").match
OLDEST = 150
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


def parted_context(
    context: Mapping[str, object],
    *,
    declared: Declared = NOTHING_DECLARED,
    ids: AbstractSet[str] = frozenset(),
) -> Parted:
    """Part a context: known devices and referrers, countries in two letters, numbers, truth values and declared texts are kept.

    ``ids`` are the person's own, as the caller knows them: no number that is one of them is kept. What is said of purposes
    and cannot be read is kept as a no.
    """
    kept: dict[str, object] = {}
    personal: dict[str, object] = {}
    for name, value in context.items():
        words = _WORDS.get(name)
        if words is not None and isinstance(value, str):
            (kept if value.lower() in words else personal)[name] = value
        elif isinstance(value, Mapping) and is_word(name):  # such as consent: truth values by purpose
            inner = {key: each for key, each in value.items() if _plain(key, each, ids)}
            if inner:
                kept[name] = inner
            if len(inner) < len(value):
                personal[name] = {key: each for key, each in value.items() if key not in inner}
        else:
            (kept if _plain(name, value, ids) or name in declared.context else personal)[name] = value
    return Parted({**kept, **_unreadable_words(context, kept)}, personal)


def _unreadable_words(context: Mapping[str, object], kept: Mapping[str, object]) -> dict[str, object]:
    """What a context says of purposes and cannot be read, such as "no" or 0, as the no that it may be; a null says nothing."""
    found: dict[str, object] = {}
    for name in (GIVEN, SAID):
        told = context.get(name)
        if isinstance(told, Mapping):
            unread = [key for key, each in told.items() if each is not None and not isinstance(each, bool)]
            if words := [key for key in unread if is_word(key)]:
                found[name] = {**kept.get(name, {}), **dict.fromkeys(words, False)}  # type: ignore[dict-item]
        elif told is not None and not (name == GIVEN and isinstance(told, bool)):
            found[GIVEN] = False
    return found


def parted_properties(
    properties: Mapping[str, object],
    *,
    declared: Declared = NOTHING_DECLARED,
    ids: AbstractSet[str] = frozenset(),
) -> Parted:
    """Part the properties of an event: numbers, truth values and declared texts are kept."""
    kept: dict[str, object] = {}
    personal: dict[str, object] = {}
    for name, value in properties.items():
        (kept if _plain(name, value, ids) or name in declared.properties else personal)[name] = value
    personal.update({SEALED: kept.pop(SEALED)} if SEALED in kept else {})  # a sender's own word of this name
    return Parted(kept, personal)


def kept_attributes(
    attributes: Mapping[str, object],
    *,
    declared: Declared = NOTHING_DECLARED,
    ids: AbstractSet[str] = frozenset(),
) -> dict[str, object]:
    """Those attributes of a person that may be kept: numbers, truth values and declared texts."""
    return {
        name: each for name, each in attributes.items() if _plain(name, each, ids) or name in declared.users
    }


def kept_word(text: object) -> bool:
    """Whether a gender or a country may be kept: at most 32 characters, no digit, no address."""
    return text is None or (isinstance(text, str) and (not text or bool(_is_plain_word(text))))


def kept_gender(text: object) -> bool:
    """Whether a gender may be kept: a word as of :func:`kept_word` in which no second one begins with a capital, as names do."""
    return kept_word(text) and not (isinstance(text, str) and _is_name(text))


def kept_age(age: object) -> bool:
    """Whether an age may be kept: years that somebody can have."""
    if age is None:
        return True
    try:
        return 0 <= float(age) <= OLDEST  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def _plain(name: str, value: object, ids: AbstractSet[str]) -> bool:
    if value is None or isinstance(value, bool):
        return bool(is_word(name))
    if not isinstance(value, int | float) or abs(value) >= LONG_NUMBER:
        return False
    return bool(is_word(name)) and not (ids and f"{value:.15g}" in ids)
