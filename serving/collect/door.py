"""The HTTP door of events: JSON objects as senders write them, checked by the event contract, with the sender's clock set right."""

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from serving.http.problems import pointer, shown
from tailorbird.events.contract import Fault, Fields, faults_of

WAY_SECONDS = 2.0
"""A batch may have been so long on its way: a smaller difference says nothing against the sender's clock."""
_COLUMN_OF = {
    "messageId": "message_id",
    "type": "type",
    "userId": "user_id",
    "anonymousId": "anonymous_id",
    "sessionId": "session_id",
    "itemId": "item_id",
    "recommendationId": "recommendation_id",
    "position": "position",
    "value": "value",
    "timestamp": "event_time",
    "context": "context",
    "properties": "properties",
}
_NAME_OF = {column: name for name, column in _COLUMN_OF.items()}


@dataclass(frozen=True)
class Checked:
    """A batch after its checks: kept + rejected = what came. What is kept becomes events where people get their names."""

    kept: list[Fields] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)


def check(
    batch: Sequence[Any], *, now: float, known_items: Collection[str], sent_at: float | None = None
) -> Checked:
    """Check every event by itself: one bad event costs the others nothing.

    ``sent_at`` is the sender's clock at the moment of sending (epoch seconds): a clock that is wrong is wrong by the same
    amount in every ``timestamp``, so each is moved by ``now - sent_at``. What the way may have taken is not moved: it
    differs from batch to batch, and would put what happened close together into another order.
    """
    checked = Checked()
    shift = 0.0 if sent_at is None or abs(now - sent_at) < WAY_SECONDS else now - sent_at
    for index, raw in enumerate(batch):
        found = _event(raw, now=now, shift=shift)
        if not isinstance(found, Fields):
            checked.rejected.append({"index": index, "reason": "; ".join(map(_words, found))})
            continue
        checked.kept.append(found)
        if found.item_id is not None and found.item_id not in known_items:
            remark = (
                f"unknown item {shown(found.item_id)}: stored; once the catalogue holds it, training counts it, "
                "and live profiles do when they are made anew"
            )
            checked.warnings.append({"index": index, "reason": remark})
    return checked


def _event(raw: Any, *, now: float, shift: float) -> Fields | Sequence[Fault]:
    if type(raw) is not dict:
        return [Fault("", "no JSON object", raw)]
    if not raw.keys() <= _COLUMN_OF.keys():
        return [Fault(name, "unknown field", raw[name]) for name in raw if name not in _COLUMN_OF]
    given = raw.get
    happened = _instant(given("timestamp"), now=now, shift=shift)
    position, value = given("position"), given("value")
    fields = Fields(
        given("messageId"),
        given("type"),
        given("userId"),
        given("anonymousId"),
        given("sessionId"),
        given("itemId"),
        given("recommendationId"),
        int(position) if type(position) is float and position.is_integer() else position,
        _number(value),
        happened,
        now,
        given("context"),
        given("properties"),
    )
    faults = faults_of(fields, now=now)
    if faults:
        return faults
    return fields._replace(event_time=now) if happened > now else fields


def _number(value: object) -> object:
    """A whole number as a float, as every value is stored; one beyond every float comes back for the contract to refuse."""
    if type(value) is not int:
        return value
    try:
        return float(value)
    except OverflowError:
        return value


def _instant(timestamp: object, *, now: float, shift: float) -> Any:
    """Epoch seconds on our clock; what cannot be read comes back as it is, for the contract to refuse."""
    if timestamp is None:
        return now
    if not isinstance(timestamp, str):
        return str(timestamp)
    try:
        when = dt.datetime.fromisoformat(timestamp)
        return (when if when.tzinfo else when.replace(tzinfo=dt.UTC)).timestamp() + shift
    except (ValueError, OverflowError):
        return timestamp


def _words(fault: Fault) -> str:
    """The fault in the sender's own names."""
    where = f"{pointer([_NAME_OF.get(fault.column, fault.column)])}: " if fault.column else ""
    what = fault.what
    for column in sorted(_NAME_OF, key=len, reverse=True):
        what = what.replace(column, _NAME_OF[column])
    return f"{where}{what}, got {shown(fault.value)}" if fault.has_value else f"{where}{what}"
