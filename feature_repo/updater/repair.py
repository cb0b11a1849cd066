"""Rebuilds rows that could not be read, from everything the stream holds of their users and items."""

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from feature_repo.definitions import ITEM_KEY, USER_KEY
from feature_repo.layout import ITEM_VIEW, USER_VIEW
from feature_repo.rows import name_of
from feature_repo.store import FeatureStoreRoom, item_row
from feature_repo.updater.folding import covered
from tailorbird.events.rows import EVENTS
from tailorbird.events.schema import BESIDE_TYPES, Event
from tailorbird.features.consent.consents import PERSONALIZATION
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.history.records import records_of
from tailorbird.features.items.counters import ItemCounters
from tailorbird.features.items.items import StaticItems
from tailorbird.features.profile.folding import fold
from tailorbird.features.profile.state import UserState
from tailorbird.privacy.policy.policy import read_policy
from tailorbird.streams.position import BEGINNING, Position
from tailorbird.streams.stream import Entry, Stream

log = logging.getLogger("tailorbird.features")
AT_ONCE = 100
"""Rows rebuilt in one go: one pass over the stream and one transaction each."""


def repair(room: FeatureStoreRoom, stream: Stream[Event], facts: ItemFacts, static: StaticItems) -> int:
    """Rebuild every damaged row; how many. What arrives meanwhile is in the rows too: they end at the store's position.

    The long pass over the past is made before the store is locked, the rest, from there on, while it is.
    """
    mended, taken_back = 0, read_policy(room.settings).taken_back_us(PERSONALIZATION)
    while found := _damaged(room):
        view, keys = found
        names = [name_of(USER_KEY if view == USER_VIEW else ITEM_KEY, key) for key in keys]
        column = "user_key" if view == USER_VIEW else "item_id"
        reached = room.applied()
        past = list(_entries(stream, column, names, after=BEGINNING, through=reached))
        with room.online.tables(room.config) as tables:
            # Meanwhile another replica may have rebuilt some, and a user may have been forgotten.
            still = set(tables.damaged(view))
            keys = [key for key in keys if key in still]
            names = [name_of(USER_KEY if view == USER_VIEW else ITEM_KEY, key) for key in keys]
            past += _entries(stream, column, names, after=reached, through=tables.position())
            tables.mend(view, keys)
            if view == USER_VIEW:
                _write_users(room, names, past, facts, taken_back=taken_back)
            else:
                _write_items(room, names, past, facts, static, taken_back=taken_back)
        mended += len(keys)
        log.warning("%d rows of %s rebuilt from %d events", len(keys), view, len(past))
    return mended


def _damaged(room: FeatureStoreRoom) -> tuple[str, list[bytes]] | None:
    with room.online.tables(room.config) as tables:
        for view in (USER_VIEW, ITEM_VIEW):
            if keys := tables.damaged(view)[:AT_ONCE]:
                return view, keys
    return None


def _entries(
    stream: Stream[Event], column: str, names: Sequence[str], *, after: Position, through: Position
) -> Iterator[Entry[Event]]:
    for batch in stream.scan(where=[(column, "in", list(names))], after=after, through=through):
        table = pa.Table.from_batches([batch])
        places = zip(table["partition"].to_pylist(), table["offset"].to_pylist(), strict=True)
        rows = EVENTS.rows_of_table(table.drop_columns(["partition", "offset"]))
        for (partition, offset), row in zip(places, rows, strict=True):
            yield Entry(partition, offset, EVENTS.from_row(row))


def _write_users(
    room: FeatureStoreRoom,
    names: Sequence[str],
    entries: Sequence[Entry[Event]],
    facts: ItemFacts,
    *,
    taken_back: int,
) -> None:
    by_user: dict[str, list[Entry[Event]]] = defaultdict(list)
    for entry in sorted(entries, key=lambda each: (each.partition, each.offset)):
        by_user[entry.record.user_key].append(entry)
    states = []
    for name in names:
        own = by_user[name]
        state = fold(
            UserState.empty(name),
            [entry.record for entry in own],
            facts,
            places=[(entry.partition, entry.offset) for entry in own],
            length=room.settings.history_length,
            taken_back=taken_back,
        )
        if state.total or state.links:
            states.append(state)
    room.online_write(states)


def _write_items(
    room: FeatureStoreRoom,
    names: Sequence[str],
    entries: Sequence[Entry[Event]],
    facts: ItemFacts,
    static: StaticItems,
    *,
    taken_back: int,
) -> None:
    done = [
        entry.record
        for entry in entries
        if entry.record.type not in BESIDE_TYPES and covered(entry.record, taken_back=taken_back)
    ]
    records = records_of(done, facts)
    rows = [row for row in (facts.row_of.get(name, -1) for name in names) if row >= 0]
    counters = ItemCounters.empty(len(rows))
    place_of = {row: place for place, row in enumerate(rows)}
    known = records.take(np.isin(records.rows, rows))
    counters.fold(known.packed, pd.Series(known.rows).map(place_of).to_numpy(int))
    about = static.rows(np.array(rows, np.int64))
    room.write_items([item_row(row, counters, place) for place, row in enumerate(about)])
