"""The event log: append-only, durable before it acknowledges, one row per message id. Here: SQLite in WAL mode."""

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import orjson
import pandas as pd
import pyarrow as pa

from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.events.archive import ARCHIVE_SCHEMA, ReadAhead
from tailorbird.events.rows import (
    COLUMNS,
    Row,
    event_of,
    row_of,
    rows_of_table,
    table_of_frame,
    table_of_rows,
)
from tailorbird.events.schema import Event

BUSY_TIMEOUT_SECONDS = 30.0
BULK_ROWS = 50_000
"""Rows of one bulk transaction: few commits, yet the write-ahead file stays small."""

_NAMES = ", ".join(f'"{name}"' for name in ("offset", *COLUMNS))
_INSERT = f"INSERT INTO events ({_NAMES}) VALUES ({', '.join('?' * (len(COLUMNS) + 1))})"  # noqa: S608
_SELECT = f'SELECT {_NAMES} FROM events WHERE "offset" > ? ORDER BY "offset" LIMIT ?'  # noqa: S608
_VERSION = 1

# `messages` keeps every id ever accepted, so that an id stays unique after compaction has moved its event to Parquet.
_TABLES = """
CREATE TABLE IF NOT EXISTS messages (message_id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (
    "offset" INTEGER PRIMARY KEY, message_id TEXT NOT NULL, type TEXT NOT NULL, user_id TEXT, anonymous_id TEXT,
    session_id TEXT, item_id TEXT, recommendation_id TEXT, position INTEGER, value REAL,
    event_time INTEGER NOT NULL, received_time INTEGER NOT NULL, context TEXT, properties TEXT
);
CREATE TABLE IF NOT EXISTS state (
    one INTEGER PRIMARY KEY CHECK (one = 1), last_offset INTEGER NOT NULL, compacted_offset INTEGER NOT NULL
);
INSERT OR IGNORE INTO state VALUES (1, 0, 0);
"""

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Appended:
    """What an append stored: ``accepted`` events with their ``offsets``, and how many were there before."""

    accepted: list[Event]
    offsets: list[int]
    duplicates: int


@dataclass(frozen=True)
class AppendedFrame:
    """What a bulk append stored."""

    accepted: int
    duplicates: int


class EventLog(Protocol):
    """Where events are kept. Its laws are in tests/events/laws.py; every log passes them."""

    def append(self, events: Sequence[Event]) -> Appended:
        """Store events durably before returning; a message id that is known is counted, not stored again."""

    def append_frame(
        self, frame: pd.DataFrame, *, on_rows: Callable[[int], object] | None = None
    ) -> AppendedFrame:
        """Store many events given as a frame with SCHEMA's columns; ``on_rows`` hears of every stored chunk."""

    def read(self, after: int, limit: int = 10_000) -> list[tuple[int, Event]]:
        """Read up to ``limit`` events with offsets greater than ``after``, in order, compacted ones included."""

    def last_offset(self) -> int:
        """Offset of the newest event; 0 when there is none. Offsets count from 1 without holes."""

    def close(self) -> None:
        """Release the files; closing twice is fine."""


class SqliteEventLog:
    """The embedded log: one SQLite database, written by any number of threads and processes.

    ``synchronous=FULL`` makes the commit wait for the disk. Compacted events live as Parquet in ``archive`` (by default
    the folder ``log`` beside the database); ``read`` fetches them there.
    """

    def __init__(
        self, path: Path, *, archive: Path | None = None, busy_seconds: float = BUSY_TIMEOUT_SECONDS
    ):
        self.path = Path(path)
        self.archive = archive or self.path.parent / "log"
        self._archive = ReadAhead(self.archive)
        self._busy_seconds = busy_seconds
        self._writing, self._reading = threading.Lock(), threading.Lock()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._mended_errors():
            self._writer = self._connect()
            self._create()
            self._reader = self._connect()

    def append(self, events: Sequence[Event]) -> Appended:
        """Store events durably before returning; a message id that is known is counted, not stored again."""
        first: dict[str, Event] = {}
        for event in events:
            first.setdefault(event.message_id, event)
        rows = [row_of(event) for event in first.values()]
        if not rows:
            return Appended([], [], 0)
        with self._transaction() as connection:
            stored = _store(connection, rows)
        accepted = [first[str(row[0])] for _, row in stored]
        return Appended(accepted, [offset for offset, _ in stored], len(events) - len(accepted))

    def append_frame(
        self, frame: pd.DataFrame, *, on_rows: Callable[[int], object] | None = None
    ) -> AppendedFrame:
        """Store many events given as a frame with SCHEMA's columns; ``on_rows`` hears of every stored chunk."""
        table = table_of_frame(frame.drop_duplicates("message_id"))
        accepted = 0
        for start in range(0, len(table), BULK_ROWS):
            rows = list(rows_of_table(table.slice(start, BULK_ROWS)))
            with self._transaction() as connection:
                accepted += len(_store(connection, rows))
            if on_rows:
                on_rows(len(rows))
        return AppendedFrame(accepted, len(frame) - accepted)

    def read(self, after: int, limit: int = 10_000) -> list[tuple[int, Event]]:
        """Read up to ``limit`` events with offsets greater than ``after``, in order, compacted ones included."""
        if limit < 0 or after < 0:
            raise UsageError(f"read(after={after}, limit={limit})", remedy="give numbers from 0 on")
        compacted, rows = self._read(lambda connection: _snapshot(connection, after, limit))
        if after < compacted:
            archived = self._archive.rows(after=after, through=compacted, limit=limit)
            rows = [*archived, *rows][:limit]
        return [(int(row[0]), event_of(row[1:])) for row in rows]  # type: ignore[call-overload]

    def last_offset(self) -> int:
        """Offset of the newest event; 0 when there is none."""
        return self._read(lambda connection: int(_state(connection)[0]))

    def compacted_offset(self) -> int:
        """Offset up to which events live in the archive and no longer here."""
        return self._read(lambda connection: int(_state(connection)[1]))

    def tail(self) -> tuple[int, pa.Table]:
        """The compacted offset and, of the same instant, the events that are not compacted, with their offsets."""
        return self._read(_tail)

    def forget_through(self, offset: int) -> None:
        """Note that events up to ``offset`` are in the archive and drop them here; message ids stay known."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE state SET compacted_offset = ? WHERE compacted_offset < ?", (offset, offset)
            )
            connection.execute('DELETE FROM events WHERE "offset" <= ?', (offset,))
        with self._mended_errors(), self._writing:
            # As a script: execute() would take one step of the vacuum, which frees one page.
            self._writer.executescript("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE);")

    def close(self) -> None:
        """Release the files; closing twice is fine."""
        with self._writing, self._reading:
            self._writer.close()
            self._reader.close()

    def __enter__(self) -> "SqliteEventLog":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=self._busy_seconds, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def _create(self) -> None:
        version = self._writer.execute("PRAGMA user_version").fetchone()[0]
        if version > _VERSION:
            raise TailorbirdError(
                f"event log {self.path} has format {version}, this program knows {_VERSION}",
                remedy="use the newer program, or another workspace",
            )
        if version < _VERSION:
            self._writer.executescript(
                f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {_VERSION}; COMMIT;"
            )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._mended_errors(), self._writing:
            # IMMEDIATE: one writer at a time from the first statement on, so offsets follow the order of commits.
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    def _read(self, question: Callable[[sqlite3.Connection], Answer]) -> Answer:
        with self._mended_errors(), self._reading:
            return question(self._reader)

    @contextmanager
    def _mended_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise TailorbirdError(f"event log {self.path}: {error}", remedy=_remedy(str(error))) from error


def _snapshot(connection: sqlite3.Connection, after: int, limit: int) -> tuple[int, list[Row]]:
    connection.execute("BEGIN")
    try:
        return _state(connection)[1], connection.execute(_SELECT, (after, limit)).fetchall()
    finally:
        connection.execute("COMMIT")


def _tail(connection: sqlite3.Connection) -> tuple[int, pa.Table]:
    connection.execute("BEGIN")
    try:
        compacted = _state(connection)[1]
        cursor = connection.execute(_SELECT, (compacted, -1))
        chunks = iter(lambda: cursor.fetchmany(BULK_ROWS), [])
        return compacted, pa.concat_tables(
            [ARCHIVE_SCHEMA.empty_table(), *(table_of_rows(rows, schema=ARCHIVE_SCHEMA) for rows in chunks)]
        )
    finally:
        connection.execute("COMMIT")


def _store(connection: sqlite3.Connection, rows: Sequence[Row]) -> list[tuple[int, Row]]:
    """Insert the rows whose message id is new; returns them with their offsets."""
    known = _known(connection, (row[0] for row in rows))
    fresh = [row for row in rows if row[0] not in known]
    last = int(_state(connection)[0])
    stored = list(enumerate(fresh, start=last + 1))
    # Sorted ids touch the index page by page; in bulk that is several times faster.
    connection.executemany("INSERT INTO messages VALUES (?)", sorted((row[0],) for row in fresh))
    connection.executemany(_INSERT, ((offset, *row) for offset, row in stored))
    connection.execute("UPDATE state SET last_offset = ?", (last + len(fresh),))
    return stored


def _known(connection: sqlite3.Connection, message_ids: Iterable[object]) -> set[object]:
    ids = orjson.dumps(list(message_ids)).decode()
    query = "SELECT message_id FROM messages WHERE message_id IN (SELECT value FROM json_each(?))"
    return {row[0] for row in connection.execute(query, (ids,))}


def _state(connection: sqlite3.Connection) -> tuple[int, int]:
    row: tuple[int, int] = connection.execute("SELECT last_offset, compacted_offset FROM state").fetchone()
    return row


def _remedy(message: str) -> str:
    if "locked" in message or "busy" in message:
        return "another process writes for very long; try again"
    if "malformed" in message or "not a database" in message:
        return "the file is damaged: restore it from a copy, or move it away and ingest again"
    if "full" in message:
        return "free some disk space and try again"
    if "closed" in message:
        return "open the log again"
    return "check the file and its folder: both must be writable"
