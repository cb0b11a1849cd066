"""The event contract: what an event must be, whichever door it comes through. Both doors ask :func:`faults_of`."""

import datetime as dt
import math
import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from tailorbird.events.schema import LINK_TYPES, OWN_TYPES, Event

ITEM_TYPES = frozenset({"impression", "view", "click", "add_to_cart", "purchase", "rating", "like", "hide"})
"""Types that mean nothing without an item."""

TYPE_PATTERN = r"^[a-z][a-z0-9_]{0,63}$"
LONGEST_ID = 256
LAST_POSITION = 2**31 - 1
LARGEST_VALUE = 1e12
"""No price, count or rating is as large; numbers of cards and accounts are."""
LARGEST_JSON = 16_384
"""Characters of ``context`` or ``properties`` as JSON."""
DEEPEST_JSON = 8
"""Levels of objects and lists within each other, the outermost object included."""
EARLIEST = 631_152_000.0
"""1990-01-01 UTC in epoch seconds: what happened before was not recorded by a computer of today's kind."""
CLOCK_SKEW_SECONDS = 300.0
"""How far ahead of our clock a sender's may be."""

_IDS = ("message_id", "user_id", "anonymous_id", "session_id", "item_id", "recommendation_id")
_is_type = re.compile(TYPE_PATTERN).fullmatch


class Fields(NamedTuple):
    """An event on its way in: None is absent; times are epoch seconds; JSON columns are an object or its text."""

    message_id: Any
    type: Any
    user_id: Any = None
    anonymous_id: Any = None
    session_id: Any = None
    item_id: Any = None
    recommendation_id: Any = None
    position: Any = None
    value: Any = None
    event_time: Any = None
    received_time: Any = None
    context: Any = None
    properties: Any = None

    @property
    def event(self) -> Event:
        """The event as it came, once it has no fault and its JSON columns are objects."""
        return Event(
            self.message_id,
            self.type,
            self.event_time,
            self.received_time,
            self.user_id,
            self.anonymous_id,
            self.session_id,
            self.item_id,
            self.recommendation_id,
            self.position,
            self.value,
            self.context or {},
            self.properties or {},
        )


Sent = Event | Fields
"""An event that passed the contract, as its sender wrote it: under the names that callers use."""


def as_sent(events: Sequence[Sent]) -> list[Event]:
    """The events, under the names that they came with."""
    return [each.event if isinstance(each, Fields) else each for each in events]


class Fault(NamedTuple):
    """What is wrong with one column. ``has_value`` is False where the value says nothing, such as a missing one."""

    column: str
    what: str
    value: object = None
    has_value: bool = True

    @property
    def reason(self) -> str:
        """In one line, with the value, cut where it gets long."""
        return f"{self.what}: {_short(self.value)}" if self.has_value else self.what


def faults_of(
    event: Fields, *, now: float, catalog_ids: Collection[str] | None = None
) -> tuple[Fault, ...] | list[Fault]:
    """Everything that is wrong with an event; empty for a good one.

    Args:
        event: Its values.
        now: The clock, epoch seconds; what happened more than five minutes later is not believed.
        catalog_ids: Items that exist, where an event of any other is a fault. A file that brings its items is asked so; a
            live event may precede its item and is not.
    """
    (
        message_id,
        kind,
        user_id,
        anonymous_id,
        _,
        item_id,
        _,
        position,
        value,
        happened,
        received,
        context,
        more,
    ) = event
    if (
        type(message_id) is str
        and 0 < len(message_id) <= LONGEST_ID
        and type(kind) is str
        and _is_type(kind)
        and kind not in OWN_TYPES
        and (type(user_id) is str or type(anonymous_id) is str)
        and (kind not in LINK_TYPES or (type(user_id) is str and type(anonymous_id) is str))
        and (type(item_id) is str or (item_id is None and kind not in ITEM_TYPES))
        and (catalog_ids is None or item_id is None or item_id in catalog_ids)
        and (position is None or (type(position) is int and 0 <= position <= LAST_POSITION))
        and (value is None or (type(value) is float and -LARGEST_VALUE < value < LARGEST_VALUE))
        and type(happened) is float
        and EARLIEST <= happened <= now + CLOCK_SKEW_SECONDS
        and (
            received is None or (type(received) is float and EARLIEST <= received <= now + CLOCK_SKEW_SECONDS)
        )
        and (context is None or _is_object(context))
        and (more is None or _is_object(more))
        and all(type(each) is str and 0 < len(each) <= LONGEST_ID for each in event[2:7] if each is not None)
    ):
        return ()  # nearly all events: decided without looking at one rule after the other
    return [
        *_faults_of_ids(event),
        *_faults_of_kind(event, catalog_ids),
        *_faults_of_numbers(event),
        *_faults_of_times(event, now=now),
        *_faults_of_json(event),
    ]


def _faults_of_ids(event: Fields) -> list[Fault]:
    found = []
    for column in _IDS:
        given = getattr(event, column)
        if given is None:
            continue
        if not isinstance(given, str):
            found.append(Fault(column, f"wrong type: {column}", given))
        elif not given:
            found.append(Fault(column, f"empty {column}", has_value=False))
        elif len(given) > LONGEST_ID:
            found.append(Fault(column, f"long {column}", given))
    if event.message_id is None:
        found.append(Fault("message_id", "missing message_id", has_value=False))
    if event.user_id is None and event.anonymous_id is None:
        found.append(Fault("user_id", "missing user_id and anonymous_id", has_value=False))
    return found


def _faults_of_kind(event: Fields, catalog_ids: Collection[str] | None) -> list[Fault]:
    if event.type is None:
        return [Fault("type", "missing type", has_value=False)]
    if not isinstance(event.type, str) or not _is_type(event.type):
        return [Fault("type", "bad type", event.type)]
    if event.type in OWN_TYPES:
        return [Fault("type", f"{event.type} is written by the platform", has_value=False)]
    if event.type in LINK_TYPES and (event.user_id is None or event.anonymous_id is None):
        return [Fault("type", f"{event.type} needs user_id and anonymous_id", has_value=False)]
    if event.item_id is None:
        needs_one = event.type in ITEM_TYPES
        return [Fault("item_id", "missing item_id", has_value=False)] if needs_one else []
    if catalog_ids is not None and isinstance(event.item_id, str) and event.item_id not in catalog_ids:
        return [Fault("item_id", "unknown item", event.item_id)]
    return []


def _faults_of_numbers(event: Fields) -> list[Fault]:
    found = []
    for column, given in (("position", event.position), ("value", event.value)):
        if given is None:
            continue
        if isinstance(given, bool) or not isinstance(given, (int, float)):
            found.append(Fault(column, f"wrong type: {column}", given))
        elif column == "position":
            if not 0 <= given <= LAST_POSITION or given != int(given):
                found.append(Fault(column, "bad position", given))
        elif not _finite(given) or abs(given) >= LARGEST_VALUE:
            found.append(Fault(column, "bad value", given))
    return found


def _faults_of_times(event: Fields, *, now: float) -> list[Fault]:
    found = []
    for column, given in (("event_time", event.event_time), ("received_time", event.received_time)):
        if given is None:
            if column == "event_time":
                found.append(Fault(column, "missing event_time", has_value=False))
        elif isinstance(given, bool) or not isinstance(given, (int, float)) or not _finite(given):
            found.append(Fault(column, f"bad time: {column}", given))
        elif given < EARLIEST:
            found.append(Fault(column, "bad time: before 1990", _instant(given)))
        elif given > now + CLOCK_SKEW_SECONDS:
            found.append(Fault(column, "future time", _instant(given)))
    return found


def _faults_of_json(event: Fields) -> list[Fault]:
    return [
        Fault(column, f"bad {column}", given)
        for column, given in (("context", event.context), ("properties", event.properties))
        if given is not None and not _is_object(given)
    ]


def _is_object(given: object) -> bool:
    """Whether it is a JSON object of a bounded size that can be stored: numbers within 64 bits, not endless."""
    if isinstance(given, str):
        return _is_objects_text(given)
    try:
        return (
            isinstance(given, Mapping)
            and not _deeper(given, DEEPEST_JSON)
            and len(orjson.dumps(given)) <= LARGEST_JSON
        )
    except (orjson.JSONEncodeError, TypeError):
        return False


@lru_cache(maxsize=4096)  # a file repeats few contexts over and over
def _is_objects_text(text: str) -> bool:
    try:
        return len(text) <= LARGEST_JSON and _is_object_of_levels(orjson.loads(text))
    except orjson.JSONDecodeError:
        return False


def _is_object_of_levels(given: object) -> bool:
    return isinstance(given, dict) and not _deeper(given, DEEPEST_JSON)


def _deeper(given: object, levels: int) -> bool:
    inner = given.values() if isinstance(given, Mapping) else given if isinstance(given, list) else ()
    return levels < 1 or any(_deeper(each, levels - 1) for each in inner if isinstance(each, (Mapping, list)))


def _finite(given: float) -> bool:
    try:
        return math.isfinite(given)
    except OverflowError:  # an int beyond every float
        return False


def _instant(seconds: float) -> object:
    try:
        return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return seconds


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…'"
