"""The catalogue of one workspace for whoever changes it: patches are kept in a log, and folded into the tables now and then."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tailorbird.catalog.catalog import Catalog, Users
from tailorbird.catalog.files import ITEMS_FILE, LOCK_FILE, USERS_FILE, Stamp, read_stamp, write_table
from tailorbird.catalog.history import append_history, versions_of
from tailorbird.catalog.log import LOG_FILE, Entry, PatchLog, Stored
from tailorbird.catalog.told import Kind, Patch, latest, with_told
from tailorbird.plumbing.alone import alone, alone_if_free

KEPT_SECONDS = 3_600.0
"""How long patches stay in the log once the tables hold them: followers a little behind need not read the tables again."""


MANY_PATCHES, LONG_SECONDS = 20_000, 600.0
"""How many patches are worth the reading and writing of a table, and how long fewer may wait."""
LOOK_SECONDS = 15.0


@dataclass(frozen=True)
class Compacted:
    """What a compaction did: patches folded into the tables, patches the log let go of, and the last one the tables hold."""

    folded: int
    dropped: int
    sequence: int


class CatalogStore:
    """Patches items and users of one folder. Any number of processes may have one; what ``put`` returned from is on the disk.

    Later patches win, column by column; where two tell the same item at once, the order of the log decides.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.log = PatchLog(self.folder / LOG_FILE)
        with alone(self.folder / LOCK_FILE):
            if not (self.folder / ITEMS_FILE).exists():
                write_table(Catalog.of_ids([]).items, self.folder / ITEMS_FILE)
        held = max(read_stamp(self.folder / name).held(self.log.name) for name in (ITEMS_FILE, USERS_FILE))
        if held > self.log.end():
            self.log.pass_by(sequence=held)

    def put(self, patches: Sequence[Patch], *, now: float, batch_id: str = "") -> Stored:
        """Keep patches for good, told at ``now`` (epoch seconds); a ``batch_id`` counts once.

        Raises:
            StreamAwayError: they cannot be written.
        """
        return self.log.append(patches, now=now, batch_id=batch_id)

    def find(self, item_id: str) -> dict[str, Any] | None:
        """What is known of one item now, by the names of the columns; None where nobody ever told of it."""
        file = self.folder / ITEMS_FILE
        # Before the row: what is folded meanwhile is told once more, which changes nothing.
        told = self.log.of("item", item_id, after=read_stamp(file).held(self.log.name))
        found = Catalog.from_frame(pq.read_table(file, filters=[("item_id", "=", item_id)]).to_pandas())
        items = with_told(found.items, latest((each.key, each.told) for each in told), key="item_id")
        return None if items.empty else dict(items.iloc[0])

    def waiting(self) -> int:
        """Patches that their tables do not hold yet: a fold of users leaves the table of items and its stamp as they are."""
        items, users = (
            read_stamp(self.folder / each).held(self.log.name) for each in (ITEMS_FILE, USERS_FILE)
        )
        return self.log.count("item", after=items) + self.log.count("user", after=users)

    def compact(self, *, now: float) -> Compacted | None:
        """Fold the patches of the log into the tables and their history; None where another process is at it.

        At a kill in between nothing is lost and nothing counts twice: a table says itself which patches it holds, and the
        same patches give the same history again.
        """
        with alone_if_free(self.folder / LOCK_FILE) as mine:
            if not mine:
                return None
            end = self.log.end()
            folded = self._fold_items(end) + self._fold_users(end)
            dropped = self.log.drop(end, older_than=now - KEPT_SECONDS)
        return Compacted(folded, dropped, end)

    def close(self) -> None:
        """Release the log."""
        self.log.close()

    def _fold_items(self, end: int) -> int:
        stamp, entries = self._new_to(ITEMS_FILE, "item", end)
        if entries:
            stored = Catalog.read_stored(self.folder)
            append_history(self.folder, versions_of(stored.items, entries))
            told = latest((entry.patch.key, entry.patch.told) for entry in entries)
            write_table(with_told(stored.items, told, key="item_id"), self.folder / ITEMS_FILE, stamp=stamp)
        return len(entries)

    def _fold_users(self, end: int) -> int:
        stamp, entries = self._new_to(USERS_FILE, "user", end)
        if entries:
            told = latest((entry.patch.key, entry.patch.told) for entry in entries)
            users = with_told(Users.read_stored(self.folder).users, told, key="user_id")
            write_table(users, self.folder / USERS_FILE, stamp=stamp)
        return len(entries)

    def _new_to(self, file: str, kind: Kind, end: int) -> tuple[Stamp, list[Entry]]:
        """What a table will be that holds the log up to ``end``, and the patches it lacks for that."""
        before = read_stamp(self.folder / file)
        found = self.log.all_after(before.held(self.log.name), through=end)
        return Stamp(before.generation, self.log.name, end), [
            each for each in found if each.patch.kind == kind
        ]


def fold_while_serving(
    folder: Path,
    *,
    stop: threading.Event,
    clock: Callable[[], float] = time.time,
    every_seconds: float = LOOK_SECONDS,
) -> None:
    """Fold patches into the tables whenever enough of them wait, or some have waited for long, until ``stop``."""
    since = clock()
    while not stop.wait(every_seconds):
        if not (folder / LOG_FILE).exists():
            continue
        with closing(CatalogStore(folder)) as store:
            waiting = store.waiting()
            if waiting >= MANY_PATCHES or (waiting and clock() - since >= LONG_SECONDS):
                store.compact(now=clock())
                since = clock()
            elif not waiting:
                since = clock()
