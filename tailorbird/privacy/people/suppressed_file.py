"""The suppression list of one machine, in a file that is made once somebody is put on it."""

import sqlite3
import threading
from collections.abc import Collection, Mapping
from pathlib import Path

import orjson

from tailorbird.plumbing.disk import identity
from tailorbird.streams.database import Database

PRIVACY_FOLDER = "privacy"
SUPPRESSED_FILE = "suppressed.db"
WAIT_SECONDS = 10.0
_FORMAT = 1
_SCRIPT = "CREATE TABLE suppressed (person TEXT PRIMARY KEY, since REAL NOT NULL) WITHOUT ROWID"


class SuppressedFile:
    """The list of one workspace's folder, for any number of threads and processes."""

    def __init__(self, workspace_folder: Path) -> None:
        self.path = workspace_folder / PRIVACY_FOLDER / SUPPRESSED_FILE
        self._place = str(self.path)
        self._looking, self._opening = threading.Lock(), threading.Lock()
        self._opened: Database | None = None
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._openings = 0

    @property
    def exists(self) -> bool:
        """Whether somebody was ever put on it."""
        return identity(self._place) is not None

    def turn(self) -> tuple[int, int] | None:
        """Which opening of which file it is, and which state; None where there is none. One look at its shared memory."""
        found = identity(self._place)
        with self._looking:
            if found != self._identity:
                self._open(found)
            if self._connection is None:
                return None
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
            return self._openings, int(version)

    def everybody(self) -> frozenset[str]:
        """The list that the last :meth:`turn` is of, or a newer one."""
        with self._looking:
            if self._connection is None:
                return frozenset()
            rows = self._connection.execute("SELECT person FROM suppressed").fetchall()
            return frozenset(person for (person,) in rows)

    def add(self, people: Collection[str], *, now: float) -> None:
        """Put people on it, unless they are; on the disk when this returns."""
        with self._database().transaction() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO suppressed VALUES (?, ?)", [(key, now) for key in people]
            )

    def remove(self, people: Collection[str]) -> int:
        """Take people off it; how many were on it."""
        if not self.exists:
            return 0
        with self._database().transaction() as connection:
            return connection.execute(
                "DELETE FROM suppressed WHERE person IN (SELECT value FROM json_each(?))",
                (orjson.dumps(list(people)).decode(),),
            ).rowcount

    def since(self, people: Collection[str]) -> Mapping[str, float]:
        """When those of ``people`` who are on it came onto it, epoch seconds."""
        if not self.exists:
            return {}
        question = "SELECT person, since FROM suppressed WHERE person IN (SELECT value FROM json_each(?))"
        asked = (orjson.dumps(list(people)).decode(),)
        return dict(self._database().ask(lambda c: c.execute(question, asked).fetchall()))

    def dates(self) -> Mapping[str, float]:
        """Everybody on it, and when they came onto it."""
        if not self.exists:
            return {}
        return dict(
            self._database().ask(lambda c: c.execute("SELECT person, since FROM suppressed").fetchall())
        )

    def close(self) -> None:
        """Release the file; closing twice is fine."""
        with self._looking:
            if self._connection is not None:
                self._connection.close()
            self._connection, self._identity = None, None
        with self._opening:
            if self._opened is not None:
                self._opened.close()
            self._opened = None

    def _open(self, found: tuple[int, int] | None) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._identity = None, found
        self._openings += 1
        if found is not None:
            connection = sqlite3.connect(
                f"{self.path.as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
            )
            if connection.execute("PRAGMA user_version").fetchone()[0] == _FORMAT:
                self._connection = connection
            else:  # it is being made: nobody is on it yet, and the next question looks again
                connection.close()
                self._identity = None

    def _database(self) -> Database:
        with self._opening:
            if self._opened is None:
                opened = Database(self.path, name="suppression", durable=True, wait_seconds=WAIT_SECONDS)
                opened.create(_SCRIPT, version=_FORMAT)
                self._opened = opened
            return self._opened
