"""Compaction moves events from SQLite to day-partitioned Parquet; ``read_log`` reads both as one table."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from tailorbird.errors import TailorbirdError
from tailorbird.events.archive import (
    ARCHIVE_SCHEMA,
    parts,
    publish,
    published_parts,
    read_parts,
    remove_orphans,
)
from tailorbird.events.log import SqliteEventLog
from tailorbird.events.rows import user_keys
from tailorbird.plumbing.alone import alone
from tailorbird.settings import Settings


@dataclass(frozen=True)
class Compacted:
    """What one compaction did: events moved, files written, orphans of an interrupted run removed."""

    events: int
    files: int
    orphans: int


def compact(log: SqliteEventLog, folder: Path) -> Compacted:
    """Move every event of ``log`` into ``folder``; safe to interrupt at any instant and to run again.

    Files are complete before the log notes them as compacted, and the log drops the rows in that same transaction: a
    crash before it leaves orphaned files, which no reader counts and the next run removes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if folder.resolve() != log.archive.resolve():
        raise TailorbirdError(
            f"event log {log.path} keeps its archive in {log.archive}, not in {folder}",
            remedy="open the log with archive=, so that it finds what is compacted",
        )
    with alone(folder / ".lock"):
        compacted, table = log.tail()
        orphans = remove_orphans(folder, after=compacted)
        if not len(table):
            return Compacted(0, 0, orphans)
        written = publish(folder, table)
        log.forget_through(int(pc.max(table["offset"]).as_py()))
        return Compacted(len(table), len(written), orphans)


def read_log(
    source: Settings | Path,
    *,
    start: float | None = None,
    end: float | None = None,
    types: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Every event of a workspace, compacted or not, each once, sorted by event_time, then offset.

    Args:
        source: The settings, or the workspace's folder (it holds ``events.db`` and ``log/``).
        start: Only events at or after this instant (epoch seconds).
        end: Only events strictly before this instant (epoch seconds).
        types: Only these event types.

    Returns:
        A frame with SCHEMA's columns, ``offset`` and ``user_key``. Times are UTC; ``position`` and ``value`` are floats
        with NaN for none; ``context`` and ``properties`` are JSON text or None.
    """
    database, folder = _places(source)
    if not database.exists():
        return _frame(ARCHIVE_SCHEMA.empty_table())
    where = _where(start=start, end=end, types=types)
    with SqliteEventLog(database, archive=folder) as log:
        compacted, tail = log.tail()
    files = published_parts(folder, through=compacted)
    first, last = _day(start), _day(end)
    files = [part for part in files if (not first or part.day >= first) and (not last or part.day <= last)]
    table = pa.concat_tables([read_parts(files, where=where), tail if where is None else tail.filter(where)])
    return _frame(table.sort_by([("event_time", "ascending"), ("offset", "ascending")]))


def log_files(source: Settings | Path) -> list[Path]:
    """The Parquet files of a workspace's log, oldest offsets first; for a data set's identity."""
    return [part.path for part in parts(_places(source)[1])]


def _places(source: Settings | Path) -> tuple[Path, Path]:
    if isinstance(source, Settings):
        return source.event_db, source.log_folder
    folder = source.parent if source.name == "log" else source
    return folder / "events.db", folder / "log"


def _where(*, start: float | None, end: float | None, types: Sequence[str] | None) -> ds.Expression | None:
    conditions = []
    if start is not None:
        conditions.append(ds.field("event_time") >= _instant(start))
    if end is not None:
        conditions.append(ds.field("event_time") < _instant(end))
    if types is not None:
        conditions.append(ds.field("type").isin(pa.array(types, pa.string())))
    if not conditions:
        return None
    where = conditions[0]
    for condition in conditions[1:]:
        where = where & condition
    return where


def _instant(seconds: float) -> pa.Scalar:
    return pa.scalar(round(seconds * 1_000_000), pa.int64()).cast(pa.timestamp("us", tz="UTC"))


def _day(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).date().isoformat()


def _frame(table: pa.Table) -> pd.DataFrame:
    frame = table.to_pandas()
    frame["user_key"] = user_keys(frame)
    return frame
