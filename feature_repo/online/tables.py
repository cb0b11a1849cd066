"""The tables of the online store: one a view and layout, marks beside them, rows known to be damaged, and their exchange.

A table carries its layout in its name. Rows of another layout lie beside it untouched; rows that are rebuilt in the same
layout fill tables *beside*, which take the place of the live ones in one transaction. Who is forgotten meanwhile is noted, for what fills
them may hold rows that it has not written yet. All of this is the same for every engine.
"""

import secrets
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from feature_repo.layout import ITEM_VIEW
from feature_repo.online.database import OnlineDatabase, Packed
from tailorbird.streams.position import BEGINNING, Position

BESIDE = "_beside"
"""Ends the layout of tables that are being filled to replace the live ones."""

DAMAGED = "damaged"
FORGOTTEN = "forgotten"
LIVE = "live_layout"
WRITTEN = "written"


def position_mark(layout: str) -> str:
    """The name under which the online store keeps how far the rows of a layout follow the events."""
    return f"position:{layout}"


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
    """The tables of one layout of one workspace, in ``database``."""

    database: OnlineDatabase
    project: str
    layout: str

    def name(self, view: str) -> str:
        """The table of a view."""
        return f"{self.project}_{view}_{self.layout}"

    def create(self, views: Sequence[str]) -> None:
        """Create what is missing; the first layout of all is live at once."""
        self.database.prepare()
        known = set(self.database.tables(f"{self.project}_"))
        for view in views:
            if self.name(view) not in known:
                self.database.create_table(self.name(view), followed=view == ITEM_VIEW)
        live, written, epoch = self.database.marks(LIVE, WRITTEN, self._epoch_mark)
        if written is None:  # a store of before the mark
            last = max((self.database.last_write(self.name(view)) for view in views), default=0)
            self.database.set_mark(WRITTEN, str(last))
        if epoch is None:  # nobody who has read a store that is lost takes this one for it
            self.database.set_mark(self._epoch_mark, str(secrets.randbits(40)))
        if not live and not self.layout.endswith(BESIDE):
            self.database.set_mark(LIVE, self.layout)

    def drop_views(self, views: Sequence[str]) -> None:
        """Drop the tables of these views."""
        for view in views:
            self.database.drop_table(self.name(view))

    def drop(self, views: Sequence[str]) -> None:
        """Drop the tables of these views, and the marks of this layout."""
        self.database.prepare()
        self.drop_views(views)
        for view in views:
            self.database.erase(DAMAGED, self.name(view))
            self.database.erase(FORGOTTEN, self.name(view))
        self.database.set_mark(position_mark(self.layout), None)

    def exchange(self, views: Sequence[str]) -> None:
        """Put the tables beside in the place of the live ones, with their position."""
        beside = Tables(self.database, self.project, self.layout + BESIDE)
        beside.distrust_forgotten(views)
        position, epoch = beside.position(), self.epoch()
        self.drop(views)
        for view in views:
            damaged = beside.damaged(view)
            self.database.rename_table(beside.name(view), self.name(view))
            self.database.note(DAMAGED, self.name(view), damaged)
        beside.drop(views)
        self.set_position(position)
        self.database.set_mark(self._epoch_mark, str((epoch or secrets.randbits(40)) + 1))

    def adopt(self, views: Sequence[str]) -> None:
        """Say that this layout's rows have caught up, and drop those of layouts long gone.

        The layout that was live before keeps its rows: a platform that was started with it goes on.
        """
        before = self.live()
        if before == self.layout:
            return
        self.database.set_mark(LIVE, self.layout)
        keep = {self.layout, before, self.layout + BESIDE}
        for view in views:
            for layout in self._layouts(view):
                if layout not in keep:
                    Tables(self.database, self.project, layout).drop_views([view])

    def live(self) -> str:
        """The layout whose rows caught up last; empty where none ever did."""
        return self._mark(LIVE)

    def position(self) -> Position:
        """How far the rows follow the events."""
        text = self._mark(position_mark(self.layout))
        return Position.from_text(text) if text else BEGINNING

    def set_position(self, position: Position) -> None:
        """Say how far the rows follow the events, in the transaction that changes them."""
        self.database.set_mark(position_mark(self.layout), position.to_text())

    def epoch(self) -> int:
        """Changes whenever the live tables are exchanged, or lost and made again."""
        return int(self._mark(self._epoch_mark) or 0)

    def write(self, view: str, rows: Sequence[Packed]) -> None:
        """Store rows under a number greater than that of every write before, also of rows that are gone."""
        # Of the clock: a store that comes back as it was a moment ago gives no number twice, which readers took for seen.
        number = max(int(self._mark(WRITTEN) or 0) + 1, time.time_ns() // 1_000)
        self.database.set_mark(WRITTEN, str(number))
        self.database.write(self.name(view), rows, number=number)

    def newest(self) -> tuple[int, int]:
        """The epoch, and the number of the last write to any table."""
        epoch, written = self.database.marks(self._epoch_mark, WRITTEN)
        return int(epoch or 0), int(written or 0)

    def marks(self, users: str) -> Marks:
        """The marks as they are; ``users`` is the view of profiles."""
        # Before any row is read: a write that comes between is newer than these marks, and the rows are read again.
        epoch, forgotten, written = self.database.marks(self._epoch_mark, FORGOTTEN, WRITTEN)
        if self.database.marks_lead():
            written = "-1"  # what is read now may be older than the marks: every row counts as written since
        return Marks(int(epoch or 0), int(forgotten or 0), frozenset(self.damaged(users)), int(written or 0))

    def any_written(self, view: str, keys: Sequence[bytes], *, since: int) -> bool:
        """Whether one of these rows was written after the write of number ``since``."""
        return self.database.newest(self.name(view), keys) > since

    def forget(self, view: str, keys: Sequence[bytes]) -> int:
        """Delete entities from a view in every layout and beside; how many rows that were."""
        self.database.prepare()
        gone = 0
        for layout in self._layouts(view):
            name = Tables(self.database, self.project, layout).name(view)
            gone += self.database.delete(name, keys)
            self.database.erase(DAMAGED, name, keys)
            if layout.endswith(BESIDE):
                self.database.note(FORGOTTEN, name, keys)
        self.database.set_mark(FORGOTTEN, str(self.forgotten() + 1))
        return gone

    def held(self, view: str, keys: Sequence[bytes]) -> Counter[bytes]:
        """How many rows, notes of damage included, there are of each entity in all layouts and beside."""
        asked, found = set(keys), Counter[bytes]()
        for layout in self._layouts(view):
            name = Tables(self.database, self.project, layout).name(view)
            found.update(self.database.read(name, keys).keys())
            found.update(key for noted, key in self.database.notes(DAMAGED) if noted == name and key in asked)
        return found

    def forgotten(self) -> int:
        """How many times an entity was forgotten."""
        return int(self._mark(FORGOTTEN) or 0)

    def distrust_forgotten(self, views: Sequence[str]) -> None:
        """Have the rows of whoever was forgotten since these tables were made rebuilt, from what the stream holds now."""
        noted = self.database.notes(FORGOTTEN)
        for view in views:
            keys = [key for name, key in noted if name == self.name(view)]
            if keys:
                self.database.delete(self.name(view), keys)
                self.report_damaged(view, keys)
                self.database.erase(FORGOTTEN, self.name(view))

    def damaged(self, view: str) -> list[bytes]:
        """Entity keys of the rows of a view that could not be read."""
        return [key for name, key in self.database.notes(DAMAGED) if name == self.name(view)]

    def any_damaged(self) -> bool:
        """Whether any row of this layout could not be read."""
        return any(name.endswith(self.layout) for name, _ in self.database.notes(DAMAGED))

    def report_damaged(self, view: str, keys: Sequence[bytes]) -> None:
        """Remember rows that could not be read, until they are rebuilt."""
        if keys:
            self.database.note(DAMAGED, self.name(view), keys)

    def mend(self, view: str, keys: Sequence[bytes]) -> None:
        """Drop damaged rows, which are about to be written anew."""
        self.database.delete(self.name(view), keys)
        self.database.erase(DAMAGED, self.name(view), keys)

    @property
    def _epoch_mark(self) -> str:
        return f"epoch:{self.layout}"

    def _mark(self, name: str) -> str:
        return self.database.marks(name)[0] or ""

    def _layouts(self, view: str) -> list[str]:
        """Every layout, and layout beside, that has a table of the view."""
        prefix = f"{self.project}_{view}_"
        return [name.removeprefix(prefix) for name in self.database.tables(prefix)]
