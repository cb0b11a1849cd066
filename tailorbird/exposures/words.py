"""What people did, in words, and what would be without it."""

import datetime as dt
from collections.abc import Mapping, Sequence

from tailorbird.events.schema import Event

ACTS: Mapping[str, str] = {
    "view": "viewed",
    "click": "clicked",
    "add_to_cart": "put into the cart",
    "purchase": "bought",
    "rating": "rated",
    "like": "liked",
}


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
