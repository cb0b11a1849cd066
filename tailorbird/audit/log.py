"""The file of the audit log: SQLite, for its owner alone, to which processes add one after the other; durable when it returns."""

import os
import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import astuple
from functools import cache, partial
from pathlib import Path
from typing import Any

from tailorbird.audit.entry import BEGINNING, Entry, Head, canonical, instant
from tailorbird.audit.together import Together
from tailorbird.errors import TailorbirdError
from tailorbird.plumbing.disk import fsync
from tailorbird.plumbing.turns import take_turn

WAIT_SECONDS = 20.0
PAGE = 5_000
_COLUMNS = "number, at, who, what, whom, detail, previous, hash"
_SCHEMA = (
    """CREATE TABLE entries (
    number INTEGER PRIMARY KEY, at TEXT NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL, whom TEXT NOT NULL,
    detail TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL)""",
    "CREATE TRIGGER unchanged BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'entries stay'); END",
    "CREATE TRIGGER undeleted BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'entries stay'); END",
)
"""The triggers keep our own slips out; whoever can write the file can drop them, and is found by the chain."""


class AuditAwayError(TailorbirdError):
    """Nothing can be written down at present."""


class AuditLog:
    """The audit log at ``path``, opened for each use. Threads that write at once share a transaction, and its wait for the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(
        self, *, at: float, who: str, what: str, whom: str = "", detail: Mapping[str, Any] | None = None
    ) -> Entry:
        """Write an entry after the last one; it is on the disk when this returns. Entries stand in the order of the calls.

        Raises:
            AuditAwayError: it could not be written.
        """
        who, what, whom = (each.encode("utf-8", "backslashreplace").decode() for each in (who, what, whom))
        following = partial(
            Entry, at=instant(at), who=who, what=what, whom=whom, detail=canonical(detail or {})
        )
        return _together(self._path.absolute()).result(following, self._append)

    def _append(self, following: Sequence[partial[Entry]]) -> list[Entry]:
        """Entries one after the other, in one transaction."""
        made = []
        try:
            with self._opened(make=True) as connection:
                take_turn(connection, wait_seconds=WAIT_SECONDS)
                _ensure_tables(connection)
                last = _last(connection)
                for each in following:
                    made.append(each(number=last.number + 1, previous=last.hash).sealed())
                    last = Head(made[-1].number, made[-1].hash)
                connection.executemany(
                    f"INSERT INTO entries ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                    [astuple(each) for each in made],
                )
                connection.execute("COMMIT")
        except (OSError, sqlite3.Error) as error:
            raise AuditAwayError(
                f"{self._path} cannot be written: {error}",
                remedy="mend the file or the disk; what must be written down is not done until then",
            ) from error
        return made

    def head(self) -> Head:
        """The newest entry; number 0 where there is none."""
        if not self._path.exists():
            return Head(0, BEGINNING)
        with self._reading() as connection:
            return _last(connection) if _has_tables(connection) else Head(0, BEGINNING)

    def entries(self) -> Iterator[Entry]:
        """All entries as they stand, in the order of their numbers."""
        if not self._path.exists():
            return
        after: int | None = None
        with self._reading() as connection:
            while _has_tables(connection):
                where, given = ("", ()) if after is None else ("WHERE number > ?", (after,))
                rows = connection.execute(
                    f"SELECT {_COLUMNS} FROM entries {where} ORDER BY number LIMIT {PAGE}",  # noqa: S608
                    given,
                ).fetchall()
                yield from (Entry(*row) for row in rows)
                if len(rows) < PAGE:
                    return
                after = rows[-1][0]

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._opened(make=False) as connection:
                yield connection
        except (OSError, sqlite3.Error) as error:
            raise AuditAwayError(
                f"{self._path} cannot be read: {error}", remedy="bring the file back from a backup"
            ) from error

    @contextmanager
    def _opened(self, *, make: bool) -> Iterator[sqlite3.Connection]:
        if make and not self._path.exists():
            self._make()
        with closing(_connected(self._path)) as connection:
            yield connection

    def _make(self) -> None:
        """Made by whoever is first, whole or not at all: to go over to WAL is refused, without waiting, while another does."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_name(f"{self._path.name}.{secrets.token_hex(8)}")
        os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            with closing(_connected(new)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                _ensure_tables(connection)
            with suppress(FileExistsError):
                os.link(new, self._path)
        finally:
            new.unlink()
        fsync(self._path.parent)


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    return connection


@cache
def _together(path: Path) -> "Together[partial[Entry], Entry]":
    """Those of this process who write to a log."""
    return Together()


def _has_tables(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'entries'").fetchone() is not None


def _ensure_tables(connection: sqlite3.Connection) -> None:
    """Make them in a file that has none, such as one that was emptied."""
    if not _has_tables(connection):
        for statement in _SCHEMA:
            connection.execute(statement)


def _last(connection: sqlite3.Connection) -> Head:
    row = connection.execute("SELECT number, hash FROM entries ORDER BY number DESC LIMIT 1").fetchone()
    return Head(*row) if row else Head(0, BEGINNING)
