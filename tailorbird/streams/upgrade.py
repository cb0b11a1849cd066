"""Brings an event log of format 1 (SQLite and day-partitioned Parquet) into the streams of today, in place."""

import logging
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from tailorbird.errors import TailorbirdError
from tailorbird.events.rows import EVENTS
from tailorbird.events.schema import ANONYMOUS, SCHEMA, USER
from tailorbird.plumbing.alone import alone
from tailorbird.streams.compaction import compact
from tailorbird.streams.sqlite import SqliteStream

log = logging.getLogger(__name__)
_AT_ONCE = 100_000
_NAME = re.compile(r"^(\d+)-(\d+)\.parquet$")


def upgrade_events(path: Path, *, archive: Path, old_archive: Path) -> None:
    """Rewrite the log at ``path`` and ``old_archive`` as a stream with ``archive``; offsets stay as they are.

    The new stream is complete before it takes the old one's place in one step, so an interrupted upgrade begins anew. The
    old database stays beside it as ``<name>.format1.db``, the old archive where it is.

    Raises:
        TailorbirdError: another process has the log open, or part of it is lost; nothing was changed.
    """
    with alone(path.with_suffix(".upgrade.lock")):
        if _version(path) != 1:
            return  # another process was faster
        connection = _only_user(path)
        try:
            last, compacted = connection.execute("SELECT last_offset, compacted_offset FROM state").fetchone()
            staged = path.with_suffix(".upgrade.db")
            for left in (*path.parent.glob(f"{staged.name}*"), archive):  # of an interrupted upgrade
                shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
            with SqliteStream(staged, EVENTS, archive=archive) as stream:
                for rows in _old_rows(connection, old_archive, compacted=compacted):
                    stream.append_table(rows)
                    compact(stream)
                found = stream.end()[0]
        finally:
            connection.close()
        if found != last:
            raise TailorbirdError(
                f"event log {path} of format 1 holds {found:,} of its {last:,} events",
                remedy=f"restore {path} and {old_archive} from a copy",
            )
        kept = path.with_suffix(".format1.db")
        kept.unlink(missing_ok=True)
        os.link(path, kept)
        staged.replace(path)
    log.warning("event log %s was brought to format 2; %s and %s may be deleted", path, kept, old_archive)


def _version(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
    finally:
        connection.close()


def _only_user(path: Path) -> sqlite3.Connection:
    """A connection to the log while nobody else has one; all of it is in the file itself then."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=1.0)
    try:
        alone = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0] == "delete"
    except sqlite3.OperationalError:
        alone = False
    if not alone:
        connection.close()
        raise TailorbirdError(
            f"event log {path} has format 1 and another process has it open",
            remedy="stop the platform that uses this workspace, then run the command again",
        )
    return connection


def _old_rows(connection: sqlite3.Connection, folder: Path, *, compacted: int) -> Iterator[pa.Table]:
    """Every old event in the order of its offset."""
    schema = pa.schema([pa.field("offset", pa.int64()), *SCHEMA])
    files = [
        str(file)
        for file in folder.glob("day=*/*.parquet")
        if (name := _NAME.match(file.name)) and int(name[2]) <= compacted
    ]
    source = ds.dataset(files, schema=schema, format="parquet")
    for start in range(0, compacted, _AT_ONCE):
        offset = ds.field("offset")
        end = min(start + _AT_ONCE, compacted)
        part = source.to_table(filter=(offset > start) & (offset <= end)).sort_by("offset")
        yield _with_people(part.drop_columns("offset"))
    names = ", ".join(f'"{name}"' for name in SCHEMA.names)
    query = f'SELECT {names} FROM events WHERE "offset" > ? ORDER BY "offset"'  # noqa: S608
    cursor = connection.execute(query, (compacted,))
    while rows := cursor.fetchmany(_AT_ONCE):
        yield EVENTS.table_of_rows(
            [(*row, f"{USER}{row[2]}" if row[2] else f"{ANONYMOUS}{row[3]}") for row in rows]
        )


def _with_people(rows: pa.Table) -> pa.Table:
    named = pc.fill_null(pc.not_equal(rows["user_id"], ""), False)
    people = pc.if_else(
        named,
        pc.binary_join_element_wise(USER, rows["user_id"], ""),
        pc.binary_join_element_wise(ANONYMOUS, pc.fill_null(rows["anonymous_id"], ""), ""),
    )
    return pa.Table.from_arrays([*rows.columns, people], schema=EVENTS.schema)
