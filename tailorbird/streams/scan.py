"""Reads the events of a workspace as a table: batch by batch in bounded memory, or as one frame."""

from collections.abc import Iterator, Sequence

import pandas as pd
import pyarrow as pa

from tailorbird.events.rows import EVENTS
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events
from tailorbird.streams.position import BEGINNING, Position
from tailorbird.streams.stream import Condition


def scan(
    settings: Settings,
    *,
    columns: Sequence[str] | None = None,
    start: float | None = None,
    end: float | None = None,
    received_before: float | None = None,
    types: Sequence[str] | None = None,
    users: Sequence[str] | None = None,
    after: Position = BEGINNING,
    through: Position | None = None,
) -> Iterator[pa.RecordBatch]:
    """Every event of a workspace, archived or not, each once, in the order in which they were stored.

    Args:
        settings: Of the workspace.
        columns: Names of SCHEMA and ``user_key``; all of them if None. ``partition`` and ``offset`` come before them.
        start: Only events that happened at or after this instant (epoch seconds).
        end: Only events that happened strictly before this instant.
        received_before: Only events that were received strictly before this instant.
        types: Only these event types.
        users: Only events of these person keys.
        after: Only events past this position.
        through: Only events up to this position; None is the end as it is now.

    Yields:
        Batches of at most 50,000 rows; one file of the archive is in memory at a time.
    """
    where: list[Condition] = []
    for column, operator, value in (
        ("event_time", ">=", start),
        ("event_time", "<", end),
        ("received_time", "<", received_before),
        ("type", "in", types),
        ("user_key", "in", users),
    ):
        if value is not None:
            where.append((column, operator, value))
    if not settings.folder.is_dir():  # reading makes nothing
        return
    stream = open_events(settings)
    try:
        yield from stream.scan(columns=columns, where=where, after=after, through=through)
    finally:
        stream.close()


def read_log(
    settings: Settings,
    *,
    columns: Sequence[str] | None = None,
    start: float | None = None,
    end: float | None = None,
    types: Sequence[str] | None = None,
    through: Position | None = None,
) -> pd.DataFrame:
    """What :func:`scan` finds as one frame, sorted by event_time, then by the order of arrival.

    Times are UTC; ``position`` and ``value`` are floats with NaN for none; ``context`` and ``properties`` are JSON text
    or None. For those who need all of it at once: memory grows with the events.
    """
    wanted = None if columns is None else list(dict.fromkeys([*columns, "event_time"]))
    batches = list(scan(settings, columns=wanted, start=start, end=end, types=types, through=through))
    schema = EVENTS.placed_schema
    if wanted is not None:
        schema = pa.schema([schema.field(name) for name in ("partition", "offset", *wanted)])
    table = pa.Table.from_batches(batches, schema=schema)
    order = [(name, "ascending") for name in ("event_time", "partition", "offset")]
    return table.sort_by(order).to_pandas()
