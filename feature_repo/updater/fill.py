"""The first fill: online rows of a whole log in bulk, each profile rolled once instead of folded event by event."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from feature_repo.store import FeatureStoreRoom, item_row
from tailorbird.catalog.catalog import Catalog
from tailorbird.events.schema import Event
from tailorbird.events.valence import RatingScale
from tailorbird.features.consent.consents import PERSONALIZATION
from tailorbird.features.consent.purposes import taken_back_in
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.history.records import EVENT_COLUMNS
from tailorbird.features.items.counters import ItemCounters
from tailorbird.features.items.items import StaticItems
from tailorbird.features.profile.replay import ReplayProfiles, Timelines
from tailorbird.streams.position import BEGINNING, Position
from tailorbird.streams.scan import scan
from tailorbird.streams.stream import Stream

EVENTS_AT_ONCE = 2_000_000
"""About so many events are in memory, packed; a longer log is read once for each part of its people."""
ROWS_AT_ONCE = 2_000
_EVER = 8e12
"""An instant after everything, in epoch seconds."""


def fill(
    room: FeatureStoreRoom, log: Stream[Event], *, on_events: Callable[[int], object] = lambda count: None
) -> int:
    """Write the rows that the log gives up to its end as it is now, and that position; how many events they hold.

    For tables that nobody else writes: those that are made beside the live ones, empty as yet.
    """
    settings, end = room.settings, log.end()
    catalog = Catalog.read_with_history(settings.catalog_folder)
    facts = ItemFacts.of(catalog, scale=RatingScale.parse(settings.rating_scale))
    counters = ItemCounters.empty(len(catalog))
    parts = max(1, -(-log.lag(BEGINNING) // EVENTS_AT_ONCE))
    events = 0
    for part in range(parts):
        frames = _frames(room, part, of=parts, through=end)
        timelines = Timelines.of(frames, facts, taken_back=taken_back_in(settings, PERSONALIZATION))
        records = timelines.records
        for start in range(0, len(records), EVENTS_AT_ONCE // 4):
            some = records.take(slice(start, start + EVENTS_AT_ONCE // 4))
            known = np.flatnonzero(some.rows >= 0)
            counters.fold(some.packed[known], some.rows[known])
        profiles = ReplayProfiles(timelines, facts, length=settings.history_length)
        names = [
            *timelines.names,
            *(key for key in timelines.links.everybody() if key not in timelines.place_of),
        ]
        for start in range(0, len(names), ROWS_AT_ONCE):
            keys = [str(name) for name in names[start : start + ROWS_AT_ONCE]]
            states = profiles.parts_at(keys, np.full(len(keys), _EVER))
            room.online_write([replace(state, applied=end) for state in states])
            on_events(sum(state.total for state in states))
        events += len(records)
    _write_items(room, catalog, counters)
    with room.online.tables(room.config) as tables:
        tables.set_position(end)
    return events


def _frames(room: FeatureStoreRoom, part: int, *, of: int, through: Position) -> Iterator[pd.DataFrame]:
    """The events of one part of the people."""
    for batch in scan(room.settings, columns=EVENT_COLUMNS, through=through):
        frame = batch.to_pandas()
        if of > 1:
            hashes = pd.util.hash_array(frame["user_key"].to_numpy(object), categorize=False)
            frame = frame[hashes % np.uint64(of) == part]
        yield frame


def _write_items(room: FeatureStoreRoom, catalog: Catalog, counters: ItemCounters) -> None:
    static = StaticItems(catalog)
    touched = np.flatnonzero(counters.totals > 0)
    for start in range(0, len(touched), ROWS_AT_ONCE):
        places = touched[start : start + ROWS_AT_ONCE]
        rows = static.rows(places)
        room.write_items([item_row(row, counters, place) for row, place in zip(rows, places, strict=True)])
