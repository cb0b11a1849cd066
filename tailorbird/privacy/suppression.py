"""The suppression list: people who were erased, whose late records are not stored. A new consent takes somebody off it."""

import sqlite3
import threading
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

import orjson

from tailorbird.plumbing.disk import identity
from tailorbird.streams.database import Database

PRIVACY_FOLDER = "privacy"
SUPPRESSED_FILE = "suppressed.db"
WAIT_SECONDS = 10.0
_FORMAT = 1
_SCRIPT = "CREATE TABLE suppressed (person TEXT PRIMARY KEY, since REAL NOT NULL) WITHOUT ROWID"


class Suppressions:
    """The list of one workspace, by person keys; any number of processes, each of which sees a change with its next question.

    A question costs one look at the file's shared state; the list is read again only where it changed. Nothing is made
    until somebody is put on it.
    """

    def __init__(self, workspace_folder: Path) -> None:
        self.path = workspace_folder / PRIVACY_FOLDER / SUPPRESSED_FILE
        self._place = str(self.path)
        self._looking, self._opening = threading.Lock(), threading.Lock()
        self._opened: Database | None = None
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._version = -1
        self._people: frozenset[str] = frozenset()

    def refused(self, people: Collection[str]) -> AbstractSet[str]:
        """Those of ``people`` (person keys) whose records are not stored now."""
        listed = self.everybody()
        return listed.intersection(people) if listed else listed

    def everybody(self) -> frozenset[str]:
        """The whole list as it is now."""
        found = identity(self._place)
        if found is None and self._connection is None:
            return self._people
        with self._looking:
            if found != self._identity:
                self._open(found)
            if self._connection is not None:
                (version,) = self._connection.execute("PRAGMA data_version").fetchone()
                if version != self._version:
                    rows = self._connection.execute("SELECT person FROM suppressed").fetchall()
                    self._people, self._version = frozenset(person for (person,) in rows), version
            return self._people

    def suppress(self, people: Collection[str], *, now: float) -> None:
        """Have no record of ``people`` stored from now on (epoch seconds), in any process; durable when this returns."""
        with self._database().transaction() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO suppressed VALUES (?, ?)", [(key, now) for key in people]
            )

    def lift(self, *people: str) -> int:
        """Store records of these people again; how many were on the list."""
        if identity(self._place) is None:
            return 0
        with self._database().transaction() as connection:
            return connection.execute(
                "DELETE FROM suppressed WHERE person IN (SELECT value FROM json_each(?))",
                (orjson.dumps(people).decode(),),
            ).rowcount

    def since(self, people: Collection[str]) -> Mapping[str, float]:
        """When those of ``people`` who are on the list came onto it, epoch seconds."""
        if identity(self._place) is None:
            return {}
        question = "SELECT person, since FROM suppressed WHERE person IN (SELECT value FROM json_each(?))"
        asked = (orjson.dumps(list(people)).decode(),)
        return dict(self._database().ask(lambda c: c.execute(question, asked).fetchall()))

    def close(self) -> None:
        """Release the file; closing twice is fine."""
        with self._looking:
            if self._connection is not None:
                self._connection.close()
            self._connection, self._identity, self._version = None, None, -1
        with self._opening:
            if self._opened is not None:
                self._opened.close()
            self._opened = None

    def _open(self, found: tuple[int, int] | None) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._version, self._people = None, -1, frozenset()
        self._identity = found
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
