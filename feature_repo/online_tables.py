"""The tables of the online store: one a view and layout, marks beside them, rows known to be damaged, and their exchange.

A table carries its layout in its name. Rows of another layout lie beside it untouched; rows that are rebuilt in the same
layout fill tables *beside*, which take the place of the live ones in one transaction. Who is forgotten meanwhile is noted, for what fills
them may hold rows that it has not written yet.
"""

import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from feature_repo.layout import position_mark
from tailorbird.streams.position import BEGINNING, Position

BESIDE = "_beside"
"""Ends the layout of tables that are being filled to replace the live ones."""

KEYS_AT_ONCE = 500
"""Rows that one statement asks for by their key."""

_LIVE = "live_layout"
_WRITTEN = "written"
_FORGOTTEN = "forgotten"


class Marks(NamedTuple):
    """What tells whether rows have changed: exchanges, forgettings and writes until now, and the users whose row is damaged."""

    epoch: int
    forgotten: int
    damaged_users: frozenset[bytes]
    written: int

    def same_rows(self, other: "Marks") -> bool:
        """Whether rows that were not written between are the same."""
        return self[:3] == other[:3]


@dataclass(frozen=True)
class Tables:
    """The tables of one layout of one workspace, in the database behind ``connection``."""

    connection: sqlite3.Connection
    project: str
    layout: str

    def name(self, view: str) -> str:
        """The table of a view."""
        return f"{self.project}_{view}_{self.layout}"

    def create(self, views: Sequence[str]) -> None:
        """Create what is missing; the first layout of all is live at once."""
        self._create_notes()
        for view in views:
            if self._exists(self.name(view)):
                continue
            self.connection.execute(
                f'CREATE TABLE "{self.name(view)}" (entity_key BLOB PRIMARY KEY, '
                "event_ts INTEGER NOT NULL, created_ts INTEGER NOT NULL, features BLOB NOT NULL, "
                "written INTEGER NOT NULL)"
            )
            # An index keeps its name when its table gets another one: no two may ever be called the same.
            index = f"{self.name(view)}_{secrets.token_hex(4)}"
            self.connection.execute(f'CREATE INDEX "{index}" ON "{self.name(view)}" (written)')
        if not self.live() and not self.layout.endswith(BESIDE):
            self._set(_LIVE, self.layout)

    def drop_views(self, views: Sequence[str]) -> None:
        """Drop the tables of these views."""
        for view in views:
            self.connection.execute(f'DROP TABLE IF EXISTS "{self.name(view)}"')

    def drop(self, views: Sequence[str]) -> None:
        """Drop the tables of these views, and the marks of this layout."""
        self.drop_views(views)
        self._create_notes()
        for view in views:
            self._sql("DELETE FROM damaged WHERE name = ?", self.name(view))
            self._sql("DELETE FROM forgotten WHERE name = ?", self.name(view))
        self._sql("DELETE FROM marks WHERE name = ?", position_mark(self.layout))

    def exchange(self, views: Sequence[str]) -> None:
        """Put the tables beside in the place of the live ones, with their position."""
        beside = Tables(self.connection, self.project, self.layout + BESIDE)
        beside.distrust_forgotten(views)
        position, epoch = beside.position(), self.epoch()
        self.drop(views)
        for view in views:
            self.connection.execute(f'ALTER TABLE "{beside.name(view)}" RENAME TO "{self.name(view)}"')
            self._sql("UPDATE damaged SET name = ? WHERE name = ?", self.name(view), beside.name(view))
        beside.drop(views)
        self.set_position(position)
        self._set(f"epoch:{self.layout}", str(epoch + 1))

    def adopt(self, views: Sequence[str]) -> None:
        """Say that this layout's rows have caught up, and drop those of layouts long gone.

        The layout that was live before keeps its rows: a platform that was started with it goes on.
        """
        before = self.live()
        if before == self.layout:
            return
        self._set(_LIVE, self.layout)
        keep = {self.layout, before, self.layout + BESIDE}
        for view in views:
            for layout in self._layouts(view):
                if layout not in keep:
                    Tables(self.connection, self.project, layout).drop_views([view])

    def live(self) -> str:
        """The layout whose rows caught up last; empty where none ever did."""
        return self._get(_LIVE) or ""

    def position(self) -> Position:
        """How far the rows follow the events."""
        text = self._get(position_mark(self.layout))
        return Position.from_text(text) if text else BEGINNING

    def set_position(self, position: Position) -> None:
        """Say how far the rows follow the events, in the transaction that changes them."""
        self._set(position_mark(self.layout), position.to_text())

    def epoch(self) -> int:
        """Changes whenever the live tables are exchanged."""
        return int(self._get(f"epoch:{self.layout}") or 0)

    def next_write(self, view: str) -> int:
        """A number greater than that of every write before, also of rows that are gone."""
        query = f'SELECT MAX(written) FROM "{self.name(view)}"'  # noqa: S608 - a store of before has no mark
        (stored,) = self.connection.execute(query).fetchone()
        number = max(int(self._get(_WRITTEN) or 0), stored or 0) + 1
        self._set(_WRITTEN, str(number))
        return number

    def marks(self, users: str) -> Marks:
        """The marks as they are; ``users`` is the view of profiles."""
        damaged = frozenset(self.damaged(users))
        return Marks(self.epoch(), self.forgotten(), damaged, int(self._get(_WRITTEN) or 0))

    def any_written(self, view: str, keys: Sequence[bytes], *, since: int) -> bool:
        """Whether one of these rows was written after the write of number ``since``."""
        query = f'SELECT MAX(written) FROM "{self.name(view)}" WHERE entity_key IN (%s)'  # noqa: S608
        for start in range(0, len(keys), KEYS_AT_ONCE):
            some = keys[start : start + KEYS_AT_ONCE]
            (newest,) = self.connection.execute(query % ",".join("?" * len(some)), some).fetchone()
            if newest is not None and newest > since:
                return True
        return False

    def forget(self, view: str, key: bytes) -> bool:
        """Delete one entity from a view in every layout and beside; whether it was anywhere."""
        self._create_notes()
        gone = 0
        for layout in self._layouts(view):
            name = Tables(self.connection, self.project, layout).name(view)
            statement = f'DELETE FROM "{name}" WHERE entity_key = ?'  # noqa: S608
            gone += self.connection.execute(statement, (key,)).rowcount
            self._sql("DELETE FROM damaged WHERE name = ? AND entity_key = ?", name, key)
            if layout.endswith(BESIDE):
                self._sql("INSERT OR IGNORE INTO forgotten VALUES (?, ?)", name, key)
        self._set(_FORGOTTEN, str(self.forgotten() + 1))
        return gone > 0

    def forgotten(self) -> int:
        """How many times an entity was forgotten."""
        return int(self._get(_FORGOTTEN) or 0)

    def distrust_forgotten(self, views: Sequence[str]) -> None:
        """Have the rows of whoever was forgotten since these tables were made rebuilt, from what the stream holds now."""
        for view in views:
            name = self.name(view)
            query = "SELECT entity_key FROM forgotten WHERE name = ?"
            keys = [key for (key,) in self.connection.execute(query, (name,))]
            self._delete(view, keys)
            self.report_damaged(view, keys)
            self._sql("DELETE FROM forgotten WHERE name = ?", name)

    def damaged(self, view: str) -> list[bytes]:
        """Entity keys of the rows of a view that could not be read."""
        query = "SELECT entity_key FROM damaged WHERE name = ?"
        return [key for (key,) in self.connection.execute(query, (self.name(view),))]

    def any_damaged(self) -> bool:
        """Whether any row of this layout could not be read."""
        query = "SELECT 1 FROM damaged WHERE name LIKE ? LIMIT 1"
        return self.connection.execute(query, (f"%{self.layout}",)).fetchone() is not None

    def report_damaged(self, view: str, keys: Sequence[bytes]) -> None:
        """Remember rows that could not be read, until they are rebuilt."""
        rows = [(self.name(view), key) for key in keys]
        self.connection.executemany("INSERT OR IGNORE INTO damaged VALUES (?, ?)", rows)

    def mend(self, view: str, keys: Sequence[bytes]) -> None:
        """Drop damaged rows, which are about to be written anew."""
        self._delete(view, keys)
        for key in keys:
            self._sql("DELETE FROM damaged WHERE name = ? AND entity_key = ?", self.name(view), key)

    def _delete(self, view: str, keys: Sequence[bytes]) -> None:
        statement = f'DELETE FROM "{self.name(view)}" WHERE entity_key = ?'  # noqa: S608
        self.connection.executemany(statement, [(key,) for key in keys])

    def _create_notes(self) -> None:
        self._sql("CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        for name in ("damaged", "forgotten"):
            self._sql(
                f"CREATE TABLE IF NOT EXISTS {name} (name TEXT, entity_key BLOB, PRIMARY KEY (name, entity_key))"
            )

    def _layouts(self, view: str) -> list[str]:
        """Every layout, and layout beside, that has a table of the view."""
        prefix = f"{self.project}_{view}_"
        names = self.connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return [name.removeprefix(prefix) for (name,) in names if name.startswith(prefix)]

    def _exists(self, table: str) -> bool:
        query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
        return self.connection.execute(query, (table,)).fetchone() is not None

    def _get(self, name: str) -> str | None:
        row = self.connection.execute("SELECT value FROM marks WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    def _set(self, name: str, value: str) -> None:
        self._sql(
            "INSERT INTO marks VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            name,
            value,
        )

    def _sql(self, statement: str, *values: object) -> None:
        self.connection.execute(statement, values)
