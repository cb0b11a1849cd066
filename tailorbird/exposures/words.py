"""Exposures in words: sources, rules and what people did, as one would say them."""

import datetime as dt
from collections.abc import Mapping, Sequence

from tailorbird.events.schema import Event
from tailorbird.exposures.exposure import LIST

SOURCES: Mapping[str, str] = {
    "cooccurrence": "what others took together with the items of this history",
    "sequence": "what tends to come next after this history",
    "content": "what is described like the items of this history",
    "popularity": "what is popular",
    "habit": "what this person comes back to",
    "similar": "what goes with the item asked about",
}
LISTS: Mapping[str, str] = {
    "segment_popularity": "what is popular in this person's segment",
    "popularity": "what is popular with everybody",
    "editorial": "the editor's choice",
}
RULES: Mapping[str, str] = {
    "hidden": "hidden by this person",
    "seen": "already had by this person",
    "out_of_stock": "out of stock",
    "not_launched": "not launched yet",
    "excluded": "left out by the request",
    "shown_before": "shown on an earlier page",
    "rule": "against the request's filter",
}
ACTS: Mapping[str, str] = {
    "view": "viewed",
    "click": "clicked",
    "add_to_cart": "put into the cart",
    "purchase": "bought",
    "rating": "rated",
    "like": "liked",
}


def number_of(rank: int, source: str) -> str:
    """Say at which place (0 the first) a source or a fallback list had an item."""
    if source.startswith(LIST):
        name = source[len(LIST) :]
        return f"filled in, number {rank + 1} of {_called(LISTS, name)}"
    return f"number {rank + 1} of {_called(SOURCES, source)}"


def rule_in_words(rule: str, count: int) -> str:
    """Say how many items a rule took out."""
    return f"{count:,} {'item' if count == 1 else 'items'} {RULES.get(rule, rule)}"


def act_in_words(events: Sequence[Event], *, title: str) -> str:
    """Say what was done with one item, the newest act first in ``events``."""
    newest = events[0]
    act = ACTS.get(newest.type, f"did {newest.type!r} with")
    at = dt.datetime.fromtimestamp(newest.event_time, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    named = f"{title} ({newest.item_id})" if title else str(newest.item_id)
    more = f", and {len(events) - 1} times before" if len(events) > 1 else ""
    return f"{act} {named} at {at}{more}"


def fall_in_words(place: int, place_without: int | None) -> str:
    """Say what would be without it."""
    there = "not be among the candidates" if place_without is None else f"stand at {place_without}"
    return f"without it this item would {there} instead of {place}"


def _called(names: Mapping[str, str], name: str) -> str:
    return f"{names[name]} ({name})" if name in names else name
