"""Records told to the person they are about: with names one reads in the API, and a sentence for each."""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from tailorbird.events.rows import EVENTS
from tailorbird.events.schema import CONSENT, IDENTIFY, MOVE, UNLINK, Event
from tailorbird.privacy.door.minimise import SEALED

_DID = {
    "impression": "was shown to you",
    "view": "you viewed",
    "click": "you clicked",
    "hover": "you pointed at",
    "scroll": "you scrolled past",
    "search": "you searched",
    "add_to_cart": "you put into the cart",
    "purchase": "you bought",
    "rating": "you rated",
    "like": "you liked",
    "hide": "you hid",
    IDENTIFY: "you logged in: what was done under an anonymous id became yours",
    CONSENT: "you said what your data may be used for",
    UNLINK: "an anonymous id was parted from you",
    MOVE: "you were counted among another segment, or a rule began or ceased to hold",
}


def instant_of(seconds: float) -> str:
    """An instant as one reads it, UTC."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat()


def events_in_words(
    table: pa.Table, *, personal: Callable[[Event], Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Events, each as it is stored, with what was sealed of it, which ``personal`` opens."""
    for row in EVENTS.rows_of_table(table.drop_columns(["partition", "offset"])):
        event = EVENTS.from_row(row)
        sealed = personal(event)
        properties = {name: value for name, value in event.properties.items() if name != SEALED}
        said: dict[str, Any] = {
            "messageId": event.message_id,
            "type": event.type,
            "userId": event.user_id,
            "anonymousId": event.anonymous_id,
            "sessionId": event.session_id,
            "itemId": event.item_id,
            "recommendationId": event.recommendation_id,
            "position": event.position,
            "value": event.value,
            "timestamp": instant_of(event.event_time),
            "receivedAt": instant_of(event.received_time),
            "context": {**event.context, **sealed.get("context", {})} or None,
            "properties": {**properties, **sealed.get("properties", {})} or None,
        }
        yield {**{name: value for name, value in said.items() if value is not None}, "words": _did(event)}


def exposures_in_words(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Answers, with the sources that brought each item and the rules that took some out."""
    from tailorbird.exposures.exposure import LIST
    from tailorbird.exposures.rows import EXPOSURES
    from tailorbird.slate.words import filled_in, number_of, rule_in_words

    for row in EXPOSURES.rows_of_table(table):
        shown = EXPOSURES.from_row(row)
        items = []
        for place, item in enumerate(shown.items):
            ranks = zip(shown.source_names, shown.ranks[place].tolist(), strict=True)
            because = [
                filled_in(rank, name.removeprefix(LIST)) if name.startswith(LIST) else number_of(rank, name)
                for name, rank in ranks
                if rank >= 0
            ]
            items.append(
                {
                    "itemId": item,
                    "position": shown.positions[place],
                    "score": round(float(shown.scores[place]), 6),
                    "because": because,
                }
            )
        model = f"version {shown.model_version} of {shown.model_name}" if shown.model_version else "no model"
        yield {
            "recommendationId": shown.recommendation_id,
            "at": instant_of(shown.instant),
            "scenario": shown.scenario,
            "arm": shown.arm,
            "experiments": dict(shown.experiments),
            "model": {"name": shown.model_name, "version": shown.model_version},
            "fallback": shown.fallback or None,
            "items": items,
            "removed": [rule_in_words(rule, count) for rule, count in shown.removed.items()],
            "request": dict(shown.request),
            "context": dict(shown.context),
            "words": f"{len(items)} items were shown, chosen by {model} in the arm {shown.arm!r}"
            if items or not shown.experiments
            else "a page was told which variants you get",
        }


def _did(event: Event) -> str:
    act = _DID.get(event.type, f"you did {event.type!r}")
    return f"{act} {event.item_id}" if event.item_id else act
