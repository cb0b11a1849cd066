"""The log of patches: what was told of items and users since the tables were written, numbered in the order it came."""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import orjson

from tailorbird.catalog.files import Stamp, new_generation
from tailorbird.catalog.log.told import Kind, Patch
from tailorbird.streams.database import Database

LOG_FILE = "patches.db"
KEPT_SECONDS = 3_600.0
"""How long patches stay in the log once the tables hold them: followers a little behind need not read the tables again."""
BATCH_SECONDS = 7 * 86_400.0
"""How long a batch's id is remembered: a sender that tries again later is a new one."""
_FORMAT = 1
_SCRIPT = """
CREATE TABLE patches (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, key TEXT NOT NULL,
  told BLOB NOT NULL, instant INTEGER NOT NULL);
CREATE TABLE batches (batch_id TEXT PRIMARY KEY, sequence INTEGER NOT NULL, instant INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX patches_by_key ON patches (key);
CREATE INDEX batches_by_age ON batches (instant);
CREATE TABLE state (log TEXT NOT NULL, newest INTEGER NOT NULL);
INSERT INTO state VALUES (lower(hex(randomblob(16))), 0)
"""
PAGE = 10_000
_THEIRS = "WHERE kind = ? AND key IN (SELECT value FROM json_each(?))"


@dataclass(frozen=True)
class Entry:
    """One patch in the log; ``instant`` (epoch microseconds) grows from patch to patch."""

    sequence: int
    patch: Patch
    instant: int


@dataclass(frozen=True)
class Stored:
    """What became of a batch: the last ``sequence`` of it, and whether it was ``repeated``: stored before, under the same id.

    ``refused`` patches were of people of whom nothing may be kept.
    """

    sequence: int
    repeated: bool = False
    refused: int = 0


class PatchLog:
    """Any number of writers and readers, in any process. What ``append`` returned from is on the disk.

    ``name`` is that of the log elsewhere that a file follows which holds nothing yet.
    """

    def __init__(self, path: Path, *, name: str = "") -> None:
        self._database = Database(path, name="catalogue", durable=True)
        self._database.create(_SCRIPT, version=_FORMAT)
        self.name = self._named()
        if name and self.name != name:
            with self._database.transaction() as connection:
                if not _end(connection):
                    connection.execute("UPDATE state SET log = ?", (name,))
            self.name = self._named()

    def append(self, patches: Sequence[Patch], *, now: float, batch_id: str = "") -> Stored:
        """Store patches in their order, all or none; a known ``batch_id`` stores nothing.

        Raises:
            StreamAwayError: the file cannot be written, or others write for too long.
        """
        with self._database.transaction() as connection:
            if batch_id:
                found = connection.execute(
                    "SELECT sequence FROM batches WHERE batch_id = ?", (batch_id,)
                ).fetchone()
                if found:
                    return Stored(int(found[0]), repeated=True)
            (newest,) = connection.execute("SELECT newest FROM state").fetchone()
            # One instant a batch, past every earlier one: a clock that was set back does not reorder what was told.
            instant = max(round(now * 1_000_000), newest + 1)
            connection.executemany(
                "INSERT INTO patches (kind, key, told, instant) VALUES (?, ?, ?, ?)",
                [
                    (each.kind, each.key, orjson.dumps(each.told), instant + place)
                    for place, each in enumerate(patches)
                ],
            )
            connection.execute("UPDATE state SET newest = ?", (instant + len(patches) - 1,))
            sequence = _end(connection)
            if batch_id:
                connection.execute("INSERT INTO batches VALUES (?, ?, ?)", (batch_id, sequence, instant))
        return Stored(sequence)

    def take(self, entries: Sequence[Entry]) -> None:
        """Take in patches of the log elsewhere that this one follows, as they are numbered there; again is fine.

        Where some are missing before them, those that came earlier go: who knows these alone must read the tables.
        """
        with self._database.transaction() as connection:
            if entries[0].sequence > _end(connection) + 1:
                connection.execute("DELETE FROM patches")
            connection.executemany(
                "INSERT OR IGNORE INTO patches (sequence, kind, key, told, instant) VALUES (?, ?, ?, ?, ?)",
                [
                    (e.sequence, e.patch.kind, e.patch.key, orjson.dumps(e.patch.told), e.instant)
                    for e in entries
                ],
            )
            connection.execute("UPDATE state SET newest = max(newest, ?)", (entries[-1].instant,))

    def newest(self) -> int:
        """The instant (epoch microseconds) past which the next patch is dated."""
        return self._database.ask(
            lambda connection: int(connection.execute("SELECT newest FROM state").fetchone()[0])
        )

    def end(self) -> int:
        """The number of the last patch, 0 where there was none; one look-up."""
        return self._database.ask(_end)

    def begin(self) -> int:
        """The number before the oldest patch that is still there: what is read from there on is complete."""

        def ask(connection: sqlite3.Connection) -> int:
            (oldest,) = connection.execute("SELECT min(sequence) FROM patches").fetchone()
            return _end(connection) if oldest is None else int(oldest) - 1

        return self._database.ask(ask)

    def count(self, kind: Kind, *, after: int) -> int:
        """How many patches of items or users came past the number ``after``."""
        rows = self._database.ask(
            lambda connection: connection.execute(
                "SELECT count(*) FROM patches WHERE sequence > ? AND kind = ?", (after, kind)
            ).fetchone()
        )
        return int(rows[0])

    def read(self, after: int, *, limit: int = PAGE) -> list[Entry]:
        """Up to ``limit`` patches past the number ``after``."""
        rows = self._database.ask(
            lambda connection: connection.execute(
                "SELECT sequence, kind, key, told, instant FROM patches WHERE sequence > ? ORDER BY sequence LIMIT ?",
                (after, limit),
            ).fetchall()
        )
        return [Entry(row[0], Patch(kind_of(row[1]), row[2], orjson.loads(row[3])), row[4]) for row in rows]

    def of(self, kind: Kind, key: str, *, after: int = 0) -> list[Patch]:
        """What was told of one item or user past the number ``after``, in order."""
        rows = self._database.ask(
            lambda connection: connection.execute(
                "SELECT told FROM patches WHERE key = ? AND kind = ? AND sequence > ? ORDER BY sequence",
                (key, kind, after),
            ).fetchall()
        )
        return [Patch(kind, key, orjson.loads(row[0])) for row in rows]

    def all_after(self, after: int, *, through: int | None = None) -> Iterator[Entry]:
        """Every patch past ``after`` and up to ``through`` (the end as it is now)."""
        end = self.end() if through is None else through
        while after < end:
            page = self.read(after)
            for entry in page:
                if entry.sequence > end:
                    return
                yield entry
            if not page:
                return
            after = page[-1].sequence

    def drop(self, through: int, *, older_than: float) -> int:
        """Let go of patches up to ``through`` that came before an instant (epoch seconds), and of old batches' ids."""
        micros = round(older_than * 1_000_000)
        with self._database.transaction() as connection:
            connection.execute(
                "DELETE FROM batches WHERE instant < ?", (micros - round(BATCH_SECONDS * 1e6),)
            )
            dropped = connection.execute(
                "DELETE FROM patches WHERE sequence <= ? AND instant < ?", (through, micros)
            ).rowcount
        self._database.shrink()
        return dropped

    def count_of(self, kind: Kind, keys: Collection[str]) -> dict[str, int]:
        """How many patches of each of some items or users are still here."""
        question = f"SELECT key, count(*) FROM patches {_THEIRS} GROUP BY key"  # noqa: S608
        asked = (kind, orjson.dumps(list(keys)).decode())
        return dict(self._database.ask(lambda connection: connection.execute(question, asked).fetchall()))

    def forget(self, kind: Kind, keys: Collection[str]) -> None:
        """Delete what was told of some items or users, the bytes too; the other patches keep their numbers."""
        with self._database.transaction() as connection:
            connection.execute(f"DELETE FROM patches {_THEIRS}", (kind, orjson.dumps(list(keys)).decode()))  # noqa: S608
        self._database.purge()

    def pass_by(self, *, sequence: int = 0, instant: int = 0) -> None:
        """Number and date what comes past ``sequence`` and ``instant`` (epoch microseconds).

        A log that is older than the tables, a copy of which was put back, must not give a number twice; what it holds is
        in the tables.
        """
        with self._database.transaction() as connection:
            connection.execute("UPDATE state SET newest = max(newest, ?)", (instant,))
            if _end(connection) < sequence:
                connection.execute("DELETE FROM patches")
                connection.execute("DELETE FROM sqlite_sequence WHERE name = 'patches'")
                connection.execute("INSERT INTO sqlite_sequence VALUES ('patches', ?)", (sequence,))

    def _named(self) -> str:
        return self._database.ask(lambda c: str(c.execute("SELECT log FROM state").fetchone()[0]))

    def close(self) -> None:
        """Release the file."""
        self._database.close()


def stamp_over(folder: Path, *, holding: Stamp | None = None) -> Stamp | None:
    """What a table is that is written anew as a whole in ``folder``; None where nothing was ever told there.

    It holds the patches that the table ``holding`` held, or where none is named all that were told until now.
    """
    path = folder / LOG_FILE
    if not path.exists():
        return None
    with closing(PatchLog(path)) as log:
        return Stamp(new_generation(), log.name, log.end() if holding is None else holding.held(log.name))


def _end(connection: sqlite3.Connection) -> int:
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'patches'").fetchone()
    return int(found[0]) if found else 0


def kind_of(text: str) -> Kind:
    """The kind that a stored word means."""
    return "user" if text == "user" else "item"
