"""The past of one person, read from the stream of events."""

import pyarrow as pa

from tailorbird.events.rows import EVENTS
from tailorbird.events.schema import IDENTIFY, Event
from tailorbird.features.consent.links import Links
from tailorbird.streams.stream import Stream


def events_of_person(stream: Stream[Event], user_key: str) -> list[Event]:
    """What was done under a key and the keys that were ever linked to it, in the order of arrival."""
    own = _events(stream, user_key)
    linked = {key for event in own if event.type == IDENTIFY for key in Links.of([event]).keys}
    events = own + [event for key in sorted(linked) for event in _events(stream, key)]
    return sorted(events, key=lambda event: event.received_time) if linked else own


def _events(stream: Stream[Event], user_key: str) -> list[Event]:
    batches = list(stream.scan(where=[(EVENTS.person, "=", user_key)]))
    if not batches:
        return []
    rows = pa.Table.from_batches(batches).drop_columns(["partition", "offset"])
    return [EVENTS.from_row(row) for row in EVENTS.rows_of_table(rows)]
