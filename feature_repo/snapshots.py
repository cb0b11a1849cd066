"""Offline snapshots: the profile after each event, as Parquet that Feast's point-in-time joins read."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.definitions import ITEM_KEY, USER_KEY
from feature_repo.layout import ITEM_VIEW, USER_VIEW, snapshot_file
from tailorbird.catalog.catalog import Catalog
from tailorbird.events.valence import RatingScale
from tailorbird.features.counters import ItemCounters
from tailorbird.features.facts import ItemFacts
from tailorbird.features.items import static_rows
from tailorbird.features.records import behaviour, records_of_frame
from tailorbird.features.replay import roll, timelines
from tailorbird.features.state import UserState
from tailorbird.streams.position import Position

_ROWS_AT_ONCE = 16_384
_DAY_US = 86_400_000_000
_CLOCK = pa.timestamp("us", tz="UTC")
_USER_SCHEMA = pa.schema(
    [
        (USER_KEY, pa.string()),
        ("event_timestamp", _CLOCK),
        ("created_timestamp", _CLOCK),
        ("history", pa.binary()),
        ("sums", pa.list_(pa.float64())),
        ("affinity_keys", pa.list_(pa.int64())),
        ("affinity", pa.list_(pa.float64())),
        ("had", pa.binary()),
        ("hidden", pa.binary()),
        ("links", pa.binary()),
        ("first_seen", pa.int64()),
        ("last_seen", pa.int64()),
        ("total", pa.int64()),
        ("applied", pa.string()),
    ]
)
_ITEM_SCHEMA = pa.schema(
    [
        (ITEM_KEY, pa.string()),
        ("event_timestamp", _CLOCK),
        ("created_timestamp", _CLOCK),
        ("category", pa.string()),
        ("brand", pa.string()),
        ("price", pa.float64()),
        ("price_band", pa.int64()),
        ("launched_at", pa.float64()),
        ("content_row", pa.int64()),
        ("item_sums", pa.list_(pa.float64())),
        ("item_seen", pa.int64()),
        ("item_total", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Built:
    """How many snapshots a build wrote, of how many users and items."""

    users: int
    user_rows: int
    items: int
    item_rows: int


def build_snapshots(
    folder: Path,
    events: pd.DataFrame,
    catalog: Catalog,
    *,
    history_length: int,
    scale: RatingScale,
    applied: Position,
    on_events: Callable[[int], object] = lambda count: None,
) -> Built:
    """Write both views' snapshots of a log's frame. Each file appears whole or not at all."""
    facts = ItemFacts.of(catalog, scale=scale)
    user_file, item_file = snapshot_file(folder, USER_VIEW), snapshot_file(folder, ITEM_VIEW)
    user_file.parent.mkdir(parents=True, exist_ok=True)
    users: set[str] = set()
    states = _user_states(events, facts, history_length=history_length, applied=applied, users=users)
    tables = (_user_table(chunk) for chunk in _chunks(states, on_events))
    user_rows = _write(user_file, tables, _USER_SCHEMA)
    item_rows = _write(item_file, _item_tables(events, catalog, facts), _ITEM_SCHEMA)
    return Built(users=len(users), user_rows=user_rows, items=len(catalog), item_rows=item_rows)


def _user_states(
    events: pd.DataFrame, facts: ItemFacts, *, history_length: int, applied: Position, users: set[str]
) -> Iterator[UserState]:
    for timeline in timelines(events, facts):
        times = timeline.records.packed["time"]
        # Of events at one instant only the last counts: a join cannot tell them apart.
        counts = np.flatnonzero(np.append(times[1:] != times[:-1], True)) + 1
        users.add(timeline.user_key)
        yield from roll(
            timeline.user_key,
            timeline.records,
            facts,
            counts,
            length=history_length,
            applied=applied,
        )


def _chunks(states: Iterable[UserState], on_events: Callable[[int], object]) -> Iterator[list[UserState]]:
    chunk: list[UserState] = []
    for state in states:
        chunk.append(state)
        if len(chunk) == _ROWS_AT_ONCE:
            yield chunk
            on_events(len(chunk))
            chunk = []
    if chunk:
        yield chunk
        on_events(len(chunk))


def _user_table(states: Sequence[UserState]) -> pa.Table:
    last_seen = np.array([state.last_seen for state in states], np.int64)
    total = np.array([state.total for state in states], np.int64)
    columns = [
        pa.array([state.user_key for state in states], pa.string()),
        pa.array(last_seen).cast(_CLOCK),
        revision_times(total),
        pa.array([state.history.tobytes() for state in states], pa.binary()),
        _lists([state.sums for state in states], pa.float64()),
        _lists([state.affinity_keys.astype(np.int64) for state in states], pa.int64()),
        _lists([state.affinity for state in states], pa.float64()),
        pa.array([state.had_set.to_bytes() for state in states], pa.binary()),
        pa.array([state.hidden_set.to_bytes() for state in states], pa.binary()),
        pa.array([state.links.to_bytes() for state in states], pa.binary()),
        pa.array([state.first_seen for state in states], pa.int64()),
        pa.array(last_seen),
        pa.array(total),
        pa.array([state.applied.to_text() for state in states], pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=_USER_SCHEMA)


def revision_times(totals: np.ndarray) -> pa.Array:
    """``created_timestamp`` of profiles: their revision, in microseconds after the epoch.

    A late event leaves a profile's last_seen as it was but raises its total: so the newer of two rows is always known.
    """
    return pa.array(np.asarray(totals, np.int64)).cast(_CLOCK)


def _item_tables(events: pd.DataFrame, catalog: Catalog, facts: ItemFacts) -> Iterator[pa.Table]:
    """A row for every item at its beginning, and one at the end of each day on which something happened to it."""
    static = static_rows(catalog)
    counters = ItemCounters.empty(len(catalog))
    records = records_of_frame(behaviour(events), facts)
    records = records.take(records.rows >= 0).sorted()
    first = int(records.packed["time"][0]) if len(records) else 0
    everything = np.arange(len(catalog))
    yield _item_table(static, counters, everything, at=np.full(len(catalog), min(0, first)))
    days = records.packed["time"] // _DAY_US
    bounds = np.flatnonzero(np.diff(days)) + 1
    for start, end in itertools.pairwise([0, *bounds.tolist(), len(days)]):
        touched = counters.fold(records.packed[start:end], records.rows[start:end])
        yield _item_table(static, counters, touched, at=counters.seen[touched])


def _item_table(
    static: pd.DataFrame, counters: ItemCounters, rows: np.ndarray, *, at: np.ndarray
) -> pa.Table:
    chosen = static.iloc[rows]
    names = ("category", "brand", "price", "price_band", "launched_at", "content_row")
    columns = [
        pa.array(chosen["item_id"], pa.string()),
        pa.array(at.astype(np.int64)).cast(_CLOCK),
        revision_times(counters.totals[rows]),
        *(pa.array(chosen[name], _ITEM_SCHEMA.field(name).type, from_pandas=False) for name in names),
        _lists(list(counters.sums[rows]), pa.float64()),
        pa.array(counters.seen[rows]),
        pa.array(counters.totals[rows]),
    ]
    return pa.Table.from_arrays(columns, schema=_ITEM_SCHEMA)


def _lists(arrays: Sequence[np.ndarray], dtype: pa.DataType) -> pa.ListArray:
    offsets = np.concatenate([[0], np.cumsum([len(array) for array in arrays])]).astype(np.int32)
    values = np.concatenate(arrays) if arrays else np.zeros(0)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values, dtype))


def _write(path: Path, tables: Iterable[pa.Table], schema: pa.Schema) -> int:
    partial = path.with_suffix(".partial")
    rows = 0
    # Neighbouring histories are nearly equal: zstd's window turns a gigabyte of them into a few dozen megabytes.
    try:
        with pq.ParquetWriter(
            partial, schema, compression="zstd", compression_level=1, use_dictionary=[schema.names[0]]
        ) as writer:
            for table in tables:
                writer.write_table(table, row_group_size=_ROWS_AT_ONCE)
                rows += len(table)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    partial.replace(path)
    return rows
