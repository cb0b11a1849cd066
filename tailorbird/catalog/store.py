"""The catalogue of one workspace for whoever changes it: patches are kept in a log, and folded into the tables now and then."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tailorbird.catalog.catalog import Catalog, Users
from tailorbird.catalog.files import ITEMS_FILE, LOCK_FILE, USERS_FILE, Stamp, read_stamp, write_table
from tailorbird.catalog.log.history import append_history, versions_of
from tailorbird.catalog.log.log import KEPT_SECONDS, LOG_FILE, Entry, PatchLog, Stored
from tailorbird.catalog.log.told import Kind, Patch, latest, with_told
from tailorbird.catalog.shared.mirror import RECORD_FILE, CatalogMirror
from tailorbird.catalog.shared.shared import shared_of
from tailorbird.errors import TailorbirdError
from tailorbird.events.schema import USER
from tailorbird.plumbing.alone import alone, alone_if_free
from tailorbird.privacy.people.suppression import Suppressions
from tailorbird.settings import Settings
from tailorbird.streams.stream import Refuses, StreamAwayError, nobody

log = logging.getLogger("tailorbird.catalogue")
MANY_PATCHES, LONG_SECONDS = 20_000, 600.0
"""How many patches are worth the reading and writing of a table, and how long fewer may wait."""
LOOK_SECONDS = 15.0
FOLLOW_SECONDS = 0.3
"""Between two questions to a shared catalogue; each is one look-up."""


@dataclass(frozen=True)
class Compacted:
    """What a compaction did: patches folded into the tables, patches the log let go of, and the last one the tables hold."""

    folded: int
    dropped: int
    sequence: int


class CatalogStore:
    """Patches items and users of one folder. Any number of processes may have one; what ``put`` returned from is on the disk.

    Later patches win, column by column; where two tell the same item at once, the order of the log decides. With a
    ``mirror`` the folder is this machine's copy of a catalogue that others patch too.
    """

    def __init__(
        self, folder: Path, *, mirror: CatalogMirror | None = None, refuses: Refuses = nobody
    ) -> None:
        """``refuses`` says of which people (person keys) nothing may be kept now."""
        self.folder, self.mirror, self._refuses = Path(folder), mirror, refuses
        self.log = PatchLog(self.folder / LOG_FILE)
        with alone(self.folder / LOCK_FILE):
            if not (self.folder / ITEMS_FILE).exists():
                write_table(Catalog.of_ids([]).items, self.folder / ITEMS_FILE)
        held = max(read_stamp(self.folder / name).held(self.log.name) for name in (ITEMS_FILE, USERS_FILE))
        if mirror is None and held > self.log.end():  # with one, the patches are still to come
            self.log.pass_by(sequence=held)

    def put(self, patches: Sequence[Patch], *, now: float, batch_id: str = "") -> Stored:
        """Keep patches for good, told at ``now`` (epoch seconds); a ``batch_id`` counts once. Those of refused people fall.

        Raises:
            StreamAwayError: they cannot be written.
        """
        fallen = self._refuses({f"{USER}{each.key}" for each in patches if each.kind == "user"})
        if fallen:
            kept = [each for each in patches if each.kind != "user" or f"{USER}{each.key}" not in fallen]
            if not kept:
                return Stored(self.log.end(), refused=len(patches))
            stored = self.put(kept, now=now, batch_id=batch_id)
            return replace(stored, refused=len(patches) - len(kept))
        if self.mirror is None:
            return self.log.append(patches, now=now, batch_id=batch_id)
        stored = self.mirror.shared.append(patches, now=now, batch_id=batch_id)
        with suppress(StreamAwayError):  # it is kept; this machine hears of it with the others
            self.mirror.hear()
        return stored

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
        with self._alone_if_free() as mine:
            if not mine:
                return None
            end = self.log.end()
            folded = self._fold_items(end) + self._fold_users(end)
            if self.mirror is not None:
                self.mirror.publish()
                self.mirror.shared.drop(end, older_than=now - KEPT_SECONDS)
            dropped = self.log.drop(end, older_than=now - KEPT_SECONDS)
        return Compacted(folded, dropped, end)

    def close(self) -> None:
        """Release the log."""
        self.log.close()
        if self.mirror is not None:
            self.mirror.close()

    @contextmanager
    def _alone_if_free(self) -> Iterator[bool]:
        """Whether no other process, on no machine, writes tables now; then the newest ones are here."""
        if self.mirror is None:
            with alone_if_free(self.folder / LOCK_FILE) as mine:
                yield mine
            return
        with self.mirror.shared.alone_if_free() as free, alone_if_free(self.folder / LOCK_FILE) as mine:
            if free and mine:
                self.mirror.take()
            yield free and mine

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


def open_catalog(settings: Settings) -> CatalogStore:
    """The catalogue of a workspace; where machines share it, with everything in it that they told until now.

    Raises:
        StreamAwayError: the shared one cannot be asked.
        TailorbirdError: this machine has one of its own and the shared one holds something, too.
    """
    mirror = _followed(settings)
    return CatalogStore(settings.catalog_folder, mirror=mirror, refuses=Suppressions.of(settings).refused)


def bring_catalog(settings: Settings) -> None:
    """Before a command reads the tables: where machines share them, have this machine's be the newest."""
    mirror = _followed(settings)
    if mirror is not None:
        mirror.close()


def _followed(settings: Settings) -> CatalogMirror | None:
    """The shared catalogue as this machine follows it, with everything that was told until now; None where it has its own."""
    folder, shared = settings.catalog_folder, shared_of(settings)
    if shared is None:
        if (folder / RECORD_FILE).exists():
            raise TailorbirdError(
                f"{folder} follows a catalogue that machines share, and TAILORBIRD_CATALOG is not set",
                remedy=f"set it; or delete {folder / RECORD_FILE} to make this machine's copy one of its own",
            )
        return None
    mirror = CatalogMirror(folder, shared)
    try:
        if not mirror.begun:
            _begin(mirror)
        mirror.pull()
        return mirror
    except BaseException:
        mirror.close()
        raise


def _begin(mirror: CatalogMirror) -> None:
    """Have a folder follow the shared catalogue; what it was told before is in its tables by then."""
    with mirror.shared.alone():
        if (mirror.folder / ITEMS_FILE).exists():
            with closing(CatalogStore(mirror.folder)) as own:
                own.compact(now=time.time())
                if own.waiting():
                    raise TailorbirdError(
                        f"another process is changing {mirror.folder}", remedy="try again when it has ended"
                    )
        mirror.begin()


@contextmanager
def writing_tables(settings: Settings) -> Iterator[Callable[[], None]]:
    """Alone, on all machines, with the newest tables in the folder; call what is given once the new ones are written there."""
    if not settings.catalog:
        with alone(settings.catalog_folder / LOCK_FILE):
            yield lambda: None
        return
    with closing(open_catalog(settings)) as store:
        mirror = store.mirror
        assert mirror is not None
        with mirror.shared.alone(), alone(settings.catalog_folder / LOCK_FILE):
            mirror.take()
            yield mirror.publish


def follow_while_serving(settings: Settings, *, stop: threading.Event) -> None:
    """Take in what other machines tell, until ``stop``; what cannot be had now is tried again, and said once."""
    if not settings.catalog:
        return
    trouble, store = "", None
    while not stop.wait(FOLLOW_SECONDS):
        try:
            store = store or open_catalog(settings)
            if store.mirror is not None:
                store.mirror.pull(wait=False)
            trouble = ""
        except (TailorbirdError, OSError) as error:
            if str(error) != trouble:
                log.warning("the shared catalogue cannot be followed: %s", error)
            trouble = str(error)
    if store is not None:
        store.close()


def fold_while_serving(
    settings: Settings,
    *,
    stop: threading.Event,
    clock: Callable[[], float] = time.time,
    every_seconds: float = LOOK_SECONDS,
) -> None:
    """Fold patches into the tables whenever enough of them wait, or some have waited for long, until ``stop``."""
    since = clock()
    while not stop.wait(every_seconds):
        if not (settings.catalog_folder / LOG_FILE).exists():
            continue
        with closing(open_catalog(settings)) as store:
            waiting = store.waiting()
            if waiting >= MANY_PATCHES or (waiting and clock() - since >= LONG_SECONDS):
                store.compact(now=clock())
                since = clock()
            elif not waiting:
                since = clock()
