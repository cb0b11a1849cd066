"""Keeps a machine's folder like the catalogue that several machines share: whoever reads it reads files of this machine."""

import filecmp
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tailorbird.catalog.files import ITEMS_FILE, LOCK_FILE, USERS_FILE, read_stamp
from tailorbird.catalog.log.log import KEPT_SECONDS, LOG_FILE, PatchLog
from tailorbird.catalog.shared.objects import CHANGES
from tailorbird.catalog.shared.shared import SharedCatalog, SharedState
from tailorbird.errors import TailorbirdError
from tailorbird.plumbing.addresses import without_secret
from tailorbird.plumbing.alone import alone, alone_if_free
from tailorbird.plumbing.disk import fsync
from tailorbird.streams.stream import StreamAwayError

Record = dict[str, Any]
RECORD_FILE = "shared.json"
"""Which shared catalogue a folder follows, and which of its objects the tables here are."""
TABLES = (ITEMS_FILE, USERS_FILE)
TRIES = 3
"""Looks at a shared catalogue of which another machine folds patches and lets go of them between two questions."""


class CatalogMirror:
    """One folder that follows a shared catalogue. The patches have the same numbers and instants in both."""

    def __init__(
        self, folder: Path, shared: SharedCatalog, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.folder, self.shared, self._clock = Path(folder), shared, clock
        self._known: SharedState | None = None

    @property
    def begun(self) -> bool:
        """Whether the folder follows a shared catalogue already."""
        return (self.folder / RECORD_FILE).exists()

    def begin(self) -> None:
        """Have the folder follow from now on. Call it alone; its own patches are folded into its tables before.

        Tables that were this machine's own become everybody's where nothing was shared yet.

        Raises:
            TailorbirdError: both hold something, and nobody can say which is meant.
        """
        with alone(self.folder / LOCK_FILE):
            if self.begun:
                return
            state = self.shared.state()
            first = not (state.tables or state.sequence)  # an empty table of this machine is nobody's
            if not first and not all(
                self._same(table, state) for table in TABLES if _rows(self.folder / table)
            ):
                raise TailorbirdError(
                    f"{self.folder} holds a catalogue of this machine alone, and the shared one holds another",
                    remedy="move that folder away to follow the shared one; `tailorbird ingest` or `tailorbird items put` "
                    "tells the shared one what it lacks",
                )
            record: Record = {"log": state.log, "tables": {}}
            if first:  # before the folder follows: what cannot be sent stays this machine's own
                self._send(record)
            for ending in ("", "-wal", "-shm"):
                (self.folder / f"{LOG_FILE}{ending}").unlink(missing_ok=True)
            with closing(PatchLog(self.folder / LOG_FILE, name=state.log)):
                pass
            self._keep(record)

    def pull(self, *, wait: bool = True) -> bool:
        """Take in what is new; whether there was anything.

        Without ``wait``, tables stay for the next time where another process of this machine is at them.

        Raises:
            StreamAwayError: the shared catalogue cannot be asked; what was not brought yet comes later.
            TailorbirdError: it is another one than this folder follows.
        """
        state = self.shared.state()
        if state == self._known:
            return False
        if not self.take_patches(state) or self._lacking(state):
            with alone(self.folder / LOCK_FILE) if wait else alone_if_free(self.folder / LOCK_FILE) as mine:
                if mine is False:
                    return True
                state = self.take()
        self._known = state
        return True

    def hear(self) -> None:
        """Take in new patches alone, where that is possible: neither the storage nor another process is waited for."""
        self.take_patches(self.shared.state())

    def take(self) -> SharedState:
        """Bring tables and patches as they are now. The caller holds the folder's lock."""
        for _ in range(TRIES):
            state = self.shared.state()
            self.take_tables(state)
            if self.take_patches(state):
                return state
        raise StreamAwayError(
            f"the catalogue that {self.folder} follows lacks patches that none of its tables holds",
            remedy="try again; if this stays, the database is older than the storage: restore both from one copy",
        )

    def take_tables(self, state: SharedState) -> None:
        """Bring the tables that are newer there, after what says what they replace. The caller holds the folder's lock."""
        with self._log(state) as mine:
            lacking = self._lacking(state)
            if not lacking:
                return
            here = {path.name for path in (self.folder / CHANGES).glob("*.parquet")}
            for name in self.shared.objects.changes():
                if name not in here:
                    self.shared.objects.fetch(f"{CHANGES}/{name}", self.folder / CHANGES / name)
            record = self._record()
            for table in lacking:
                self.shared.objects.fetch(state.object_of(table), self.folder / table)
                record["tables"][table] = [state.object_of(table), *_looks(self.folder / table)]
                self._keep(record)
            mine.drop(self._held(state), older_than=self._clock() - KEPT_SECONDS)

    def take_patches(self, state: SharedState) -> bool:
        """Bring the patches that came since; False where some of them are in newer tables alone, which have to come first."""
        with self._log(state) as mine:
            while (end := mine.end()) < state.sequence:
                entries = self.shared.read(end)
                before = entries[0].sequence - 1 if entries else state.sequence
                if before > end and before > self._held(state):
                    return False
                if entries:
                    mine.take(entries)
                else:  # folded and let go of there: the tables hold them
                    mine.pass_by(sequence=state.sequence, instant=state.newest)
        return True

    def publish(self) -> None:
        """Give everybody the tables that were written here since. The caller is alone and holds the folder's lock.

        Raises:
            StreamAwayError: they cannot be sent, or were made from others than everybody has by now.
        """
        record = self._record()
        if self._send(record):
            self._keep(record)

    def close(self) -> None:
        """Release the connection."""
        self.shared.close()

    def _send(self, record: Record) -> bool:
        """Send the tables that are not as ``record`` says, and note them there; whether there were any."""
        written = {
            table: self.folder / table
            for table in TABLES
            if (self.folder / table).exists()
            and record["tables"].get(table, [None])[1:] != _looks(self.folder / table)
        }
        if not written:
            return False
        with closing(PatchLog(self.folder / LOG_FILE)) as mine:
            newest = mine.newest()
        changes = sorted((self.folder / CHANGES).glob("*.parquet"))
        instead_of = {table: found[0] for table, found in record["tables"].items()}
        state = self.shared.publish(written, changes, newest=newest, instead_of=instead_of)
        for table, path in written.items():
            record["tables"][table] = [state.object_of(table), *_looks(path)]
        return True

    @contextmanager
    def _log(self, state: SharedState) -> Iterator[PatchLog]:
        """This machine's log of the shared catalogue that ``state`` is of; where it was lost, a new one."""
        if self._record()["log"] != state.log:
            raise TailorbirdError(
                f"the catalogue in {without_secret(self.shared.address)} is another one than {self.folder} follows",
                remedy=f"set TAILORBIRD_CATALOG to the one before, or move {self.folder} away",
            )
        with closing(PatchLog(self.folder / LOG_FILE, name=state.log)) as mine:
            if mine.name != state.log:
                raise TailorbirdError(
                    f"{self.folder / LOG_FILE} is of another catalogue than the one that {self.folder} follows",
                    remedy="delete that file: what it lacks is brought again",
                )
            yield mine

    def _lacking(self, state: SharedState) -> list[str]:
        has = self._record()["tables"]
        return [
            table
            for table in TABLES
            if (name := state.object_of(table))
            and (name != has.get(table, [""])[0] or not (self.folder / table).exists())
        ]

    def _held(self, state: SharedState) -> int:
        """The last patch that the tables hold, both together: whoever writes them folds all up to one."""
        return max(read_stamp(self.folder / each).held(state.log) for each in TABLES)

    def _same(self, table: str, state: SharedState) -> bool:
        """Whether everybody has the table of this machine: it was sent, and a kill came before that was noted."""
        name, theirs = state.object_of(table), self.folder / f".{table}.theirs.tmp"
        if not name:
            return False
        try:
            self.shared.objects.fetch(name, theirs)
            return filecmp.cmp(theirs, self.folder / table, shallow=False)
        finally:
            theirs.unlink(missing_ok=True)

    def _record(self) -> Record:
        found: Record = json.loads((self.folder / RECORD_FILE).read_text("utf-8"))
        return found

    def _keep(self, record: Record) -> None:
        staged = self.folder / f".{RECORD_FILE}.{os.getpid()}.tmp"
        staged.write_text(json.dumps(record), "utf-8")
        fsync(staged)
        staged.replace(self.folder / RECORD_FILE)
        fsync(self.folder)


def _rows(path: Path) -> int:
    return int(pq.read_metadata(path).num_rows) if path.exists() else 0


def _looks(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_ino, status.st_mtime_ns, status.st_size]
