"""The online database in one SQLite file: a connection a thread, write-ahead log, and errors with a remedy."""

import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from feature_repo.away import FeatureStoreAwayError, remedy_of
from feature_repo.online.database import Changed, Packed
from tailorbird.plumbing.disk import identity
from tailorbird.plumbing.turns import take_turn

KEYS_AT_ONCE = 500
"""Rows that one statement asks for by their key."""
_CHECKPOINT_PAGES = 16_384
_CACHE_KIB = 32_768
PURGE_SECONDS = 15.0
"""How long a purge waits for readers of an older state."""
_KINDS = ("damaged", "forgotten")


class SqliteDatabase:
    """Tables, marks and notes in the file ``path``. A writer waits ``wait_seconds`` for another one, a reader for nobody."""

    def __init__(self, path: Path, *, wait_seconds: float = 5.0) -> None:
        self.path, self.wait_seconds = path, wait_seconds
        self._place = str(path)
        self._local = threading.local()

    @property
    def in_transaction(self) -> bool:
        """Whether this thread holds the transaction."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        return connection is not None and connection.in_transaction

    def prepare(self) -> None:
        """Create the file, and the tables of marks and notes."""
        with self._named_errors():
            if not self.in_transaction:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.connection(create=True).execute("PRAGMA journal_mode = WAL")
            self._sql("CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
            for kind in _KINDS:
                columns = "(name TEXT, entity_key BLOB, PRIMARY KEY (name, entity_key))"
                self._sql(f"CREATE TABLE IF NOT EXISTS {kind} {columns}")

    @contextmanager
    def transaction(self, *, wait: bool = True) -> Iterator[None]:
        """Hold the write lock; joins the transaction that this thread already has open."""
        with self._named_errors():
            connection = self.connection()
            if connection.in_transaction:
                yield
                return
            take_turn(connection, wait_seconds=self.wait_seconds if wait else 0.0)
            try:
                yield
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def is_lost(self, tables: Sequence[str]) -> bool:
        """Never: a file that is gone or damaged raises, and `tailorbird features` makes it again."""
        return False

    def marks_lead(self) -> bool:
        """Never: marks and rows are one file."""
        return False

    def unfinished(self) -> bool:
        """Never: SQLite ends or undoes what a writer left, at the next opening."""
        return False

    @contextmanager
    def alone(self, name: str) -> Iterator[bool]:
        """Always: whoever rebuilds a file holds the lock of its folder (command.py)."""
        yield True

    def tables(self, prefix: str) -> list[str]:
        """The names of the tables that begin so."""
        names = self._ask("SELECT name FROM sqlite_master WHERE type = 'table'")
        return [str(name) for (name,) in names if name.startswith(prefix)]

    def create_table(self, table: str, *, followed: bool) -> None:
        """Make an empty table, with an index of its writes."""
        self._sql(
            f'CREATE TABLE "{table}" (entity_key BLOB PRIMARY KEY, event_ts INTEGER NOT NULL, '
            "created_ts INTEGER NOT NULL, features BLOB NOT NULL, written INTEGER NOT NULL)"
        )
        # An index keeps its name when its table gets another one: no two may ever be called the same.
        self._sql(f'CREATE INDEX "{table}_{secrets.token_hex(4)}" ON "{table}" (written)')

    def drop_table(self, table: str) -> None:
        """Drop a table with its rows, where it is there."""
        self._sql(f'DROP TABLE IF EXISTS "{table}"')

    def rename_table(self, table: str, to: str) -> None:
        """Give a table another name."""
        self._sql(f'ALTER TABLE "{table}" RENAME TO "{to}"')

    def read(self, table: str, keys: Sequence[bytes]) -> Mapping[bytes, Packed]:
        """The rows of these keys that are there."""
        query = f'SELECT entity_key, event_ts, created_ts, features FROM "{table}" WHERE entity_key IN (%s)'  # noqa: S608
        found = {}
        with self._named_errors():
            connection = self.connection()
            for some in _some(keys):
                for row in connection.execute(query % _places(some), some):
                    found[row[0]] = Packed(*row)
        return found

    def changed(self, table: str, *, since: int) -> list[Changed]:
        """The rows that were stored by a write of a greater number than ``since``."""
        query = f'SELECT entity_key, features, written FROM "{table}" WHERE written > ?'  # noqa: S608
        return [Changed(*row) for row in self._ask(query, since)]

    def write(self, table: str, rows: Sequence[Packed], *, number: int) -> None:
        """Store rows as of write ``number``; one that is older than the stored one changes nothing."""
        upsert = (
            f'INSERT INTO "{table}" VALUES (?, ?, ?, ?, ?) ON CONFLICT (entity_key) DO UPDATE SET '  # noqa: S608
            "event_ts = excluded.event_ts, created_ts = excluded.created_ts, features = excluded.features, "
            "written = excluded.written "
            "WHERE (excluded.event_ts, excluded.created_ts) >= (event_ts, created_ts)"
        )
        with self._named_errors():
            self.connection().executemany(upsert, [(*row, number) for row in rows])

    def delete(self, table: str, keys: Sequence[bytes]) -> int:
        """Drop rows; how many were there."""
        statement = f'DELETE FROM "{table}" WHERE entity_key = ?'  # noqa: S608
        with self._named_errors():
            return self.connection().executemany(statement, [(key,) for key in keys]).rowcount if keys else 0

    def newest(self, table: str, keys: Sequence[bytes]) -> int:
        """The greatest number of the writes that stored the rows of these keys."""
        query = f'SELECT MAX(written) FROM "{table}" WHERE entity_key IN (%s)'  # noqa: S608
        return max((self._ask(query % _places(some), *some)[0][0] or 0 for some in _some(keys)), default=0)

    def last_write(self, table: str) -> int:
        """The greatest number of all writes to the rows of a table."""
        return int(self._ask(f'SELECT MAX(written) FROM "{table}"')[0][0] or 0)  # noqa: S608

    def marks(self, *names: str) -> list[str | None]:
        """The marks of these names, in that order."""
        query = f"SELECT name, value FROM marks WHERE name IN ({_places(names)})"  # noqa: S608
        found: dict[str, str] = dict(self._ask(query, *names))
        return [found.get(name) for name in names]

    def set_mark(self, name: str, value: str | None) -> None:
        """Set a mark, or drop it."""
        if value is None:
            self._sql("DELETE FROM marks WHERE name = ?", name)
        else:
            self._sql(
                "INSERT INTO marks VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                name,
                value,
            )

    def notes(self, kind: str) -> set[tuple[str, bytes]]:
        """Table and key of every note of a kind."""
        return {(str(name), bytes(key)) for name, key in self._ask(f"SELECT name, entity_key FROM {kind}")}  # noqa: S608

    def note(self, kind: str, table: str, keys: Sequence[bytes]) -> None:
        """Note keys of a table."""
        with self._named_errors():
            statement = f"INSERT OR IGNORE INTO {kind} VALUES (?, ?)"  # noqa: S608
            self.connection().executemany(statement, [(table, key) for key in keys])

    def erase(self, kind: str, table: str, keys: Sequence[bytes] | None = None) -> None:
        """Drop the notes of these keys, or of the whole table."""
        if keys is None:
            self._sql(f"DELETE FROM {kind} WHERE name = ?", table)  # noqa: S608
            return
        for key in keys:
            self._sql(f"DELETE FROM {kind} WHERE name = ? AND entity_key = ?", table, key)  # noqa: S608

    def purge(self) -> None:
        """Copy the log into the file and empty it: deleted rows are overwritten there."""
        deadline = time.monotonic() + PURGE_SECONDS
        while self._ask("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]:
            if time.monotonic() > deadline:
                raise FeatureStoreAwayError(
                    f"online feature store {self.path}: somebody reads an older state of it for very long",
                    remedy="try again",
                )
            time.sleep(0.05)

    def disconnect(self) -> None:
        """Close this thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def connection(self, *, create: bool = False) -> sqlite3.Connection:
        """This thread's connection to the file that is there now: a store that was rebuilt is opened anew."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            if connection.in_transaction or self._local.file == identity(self._place):
                return connection
            self.disconnect()
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?mode={'rwc' if create else 'rw'}",
            uri=True,
            isolation_level=None,
            timeout=self.wait_seconds,
            check_same_thread=False,
        )
        # The event log is what must survive a power cut; profiles catch up from it, mark and rows together.
        connection.execute("PRAGMA synchronous = NORMAL")
        # Profiles are rewritten again and again: what is copied to the file seldom is copied once for many of its versions.
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")  # the rows of one transaction fit
        connection.execute("PRAGMA secure_delete = ON")  # a forgotten user is not left in free pages
        self._local.connection, self._local.file = connection, identity(self._place)
        return connection

    def _ask(self, query: str, *values: object) -> list[tuple]:
        with self._named_errors():
            return self.connection().execute(query, values).fetchall()

    def _sql(self, statement: str, *values: object) -> None:
        with self._named_errors():
            self.connection().execute(statement, values)

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """What SQLite raises becomes a FeatureStoreAwayError with a remedy."""
        try:
            yield
        except sqlite3.Error as error:
            if not self.in_transaction:
                self.disconnect()
            raise FeatureStoreAwayError(
                f"online feature store {self.path}: {error}", remedy=remedy_of(str(error), self.path)
            ) from error


def _some(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(keys), KEYS_AT_ONCE):
        yield keys[start : start + KEYS_AT_ONCE]


def _places(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
