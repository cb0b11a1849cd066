"""Keeps a machine's folder like the catalogue that several machines share: whoever reads it reads files of this machine."""

import json
import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tailorbird.catalog.files import ITEMS_FILE, LOCK_FILE, USERS_FILE, read_stamp
from tailorbird.catalog.log import KEPT_SECONDS, LOG_FILE, PatchLog
from tailorbird.catalog.shared import CHANGES, SharedCatalog, SharedState
from tailorbird.errors import TailorbirdError
from tailorbird.plumbing.alone import alone

RECORD_FILE = "shared.json"
"""Which shared catalogue a folder follows, and which of its objects the tables here are."""
TABLES = (ITEMS_FILE, USERS_FILE)


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
            if (state.tables or state.sequence) and _rows(self.folder / ITEMS_FILE):
                raise TailorbirdError(
                    f"{self.folder} holds a catalogue of this machine alone, and the shared one holds another",
                    remedy="move that folder away to follow the shared one; `tailorbird ingest` or `tailorbird items put` "
                    "tells the shared one what it lacks",
                )
            for ending in ("", "-wal", "-shm"):
                (self.folder / f"{LOG_FILE}{ending}").unlink(missing_ok=True)
            with closing(PatchLog(self.folder / LOG_FILE, name=state.log)):
                pass
            self._keep({"log": state.log, "tables": {}})
            if state.tables or state.sequence:  # an empty table of this machine is nobody's
                for table in TABLES:
                    (self.folder / table).unlink(missing_ok=True)
            else:
                self.publish()

    def pull(self) -> bool:
        """Take in what is new; whether there was anything.

        Raises:
            StreamAwayError: the shared catalogue cannot be asked; the folder stays as it is.
            TailorbirdError: it is another one than this folder follows.
        """
        state = self.shared.state()
        if state == self._known:
            return False
        if self._lacking(state):
            with alone(self.folder / LOCK_FILE):
                self.take_tables(state)
        self.take_patches(state)
        self._known = state
        return True

    def take_tables(self, state: SharedState) -> None:
        """Bring the tables that are newer there, after what says what they replace. The caller holds the folder's lock."""
        lacking = self._lacking(state)
        if not lacking:
            return
        here = {path.name for path in (self.folder / CHANGES).glob("*.parquet")}
        for name in self.shared.changes():
            if name not in here:
                self.shared.fetch(f"{CHANGES}/{name}", self.folder / CHANGES / name)
        record = self._record()
        for table in lacking:
            self.shared.fetch(state.object_of(table), self.folder / table)
            record["tables"][table] = [state.object_of(table), *_looks(self.folder / table)]
            self._keep(record)
        held = max(read_stamp(self.folder / each).held(state.log) for each in TABLES)  # of what both hold
        with closing(PatchLog(self.folder / LOG_FILE)) as mine:
            mine.drop(held, older_than=self._clock() - KEPT_SECONDS)

    def take_patches(self, state: SharedState) -> None:
        """Bring the patches that came since."""
        if self._record()["log"] != state.log:
            raise TailorbirdError(
                f"the catalogue in {self.shared.address.rpartition('@')[2]} is another one than {self.folder} follows",
                remedy=f"set TAILORBIRD_CATALOG to the one before, or move {self.folder} away",
            )
        with closing(PatchLog(self.folder / LOG_FILE)) as mine:
            while mine.end() < state.sequence:
                entries = self.shared.read(mine.end())
                if not entries:  # folded and let go of there: the tables hold them
                    mine.pass_by(sequence=state.sequence, instant=state.newest)
                    return
                mine.take(entries)

    def publish(self) -> None:
        """Give everybody the tables that were written here since. The caller is alone and holds the folder's lock."""
        record = self._record()
        written = {
            table: self.folder / table
            for table in TABLES
            if (self.folder / table).exists()
            and record["tables"].get(table, [None])[1:] != _looks(self.folder / table)
        }
        if not written:
            return
        with closing(PatchLog(self.folder / LOG_FILE)) as mine:
            newest = mine.newest()
        changes = sorted((self.folder / CHANGES).glob("*.parquet"))
        state = self.shared.publish(written, changes, newest=newest)
        for table, path in written.items():
            record["tables"][table] = [state.object_of(table), *_looks(path)]
        self._keep(record)

    def close(self) -> None:
        """Release the connection."""
        self.shared.close()

    def _lacking(self, state: SharedState) -> list[str]:
        has = self._record()["tables"]
        return [
            table
            for table in TABLES
            if state.object_of(table) and state.object_of(table) != has.get(table, [""])[0]
        ]

    def _record(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / RECORD_FILE).read_text("utf-8"))
        return found

    def _keep(self, record: dict[str, Any]) -> None:
        staged = self.folder / f".{RECORD_FILE}.{os.getpid()}.tmp"
        staged.write_text(json.dumps(record), "utf-8")
        staged.replace(self.folder / RECORD_FILE)


def _rows(path: Path) -> int:
    return int(pq.read_metadata(path).num_rows) if path.exists() else 0


def _looks(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_ino, status.st_mtime_ns, status.st_size]
