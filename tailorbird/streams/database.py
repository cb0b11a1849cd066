"""The SQLite database of a stream: one writer and one reader connection, bounded waits, errors with their remedies."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.plumbing.disk import fsync, identity
from tailorbird.plumbing.turns import take_turn
from tailorbird.streams.stream import StreamAwayError

WAIT_SECONDS = 2.0
"""How long a caller waits for other writers, in all: it can send its records again, a queue that stands still cannot."""
_SHRINK_PAGES = 1_000
PURGE_SECONDS = 15.0
"""How long a purge waits for readers of an older state."""

Answer = TypeVar("Answer")


class OlderFormatError(TailorbirdError):
    """The file is of an older program; its records are all there."""


class Database:
    """One file in WAL mode, used by any number of threads and processes.

    ``durable`` commits wait for the disk (``synchronous=FULL``); others outlive the process, not a power cut.
    """

    def __init__(self, path: Path, *, name: str, durable: bool, wait_seconds: float = WAIT_SECONDS) -> None:
        self.path, self.name = Path(path), name
        self._durable, self._wait_seconds = durable, wait_seconds
        self._writing, self._reading = threading.Lock(), threading.Lock()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._mended_errors():
            self._writer = self._connect()
            self._reader = self._connect()
        self._identity = identity(self.path)

    def create(self, script: str, *, version: int) -> None:
        """Run ``script`` in a new file and give it the format ``version``.

        Raises:
            OlderFormatError: the file is of an older program.
            TailorbirdError: the file is of a newer one.
        """
        with self._mended_errors(), self._writing:
            # The lock comes first: processes that open a new file together run the script once.
            self._writer.execute("BEGIN IMMEDIATE")
            found = self._writer.execute("PRAGMA user_version").fetchone()[0]
            if not found:
                for statement in script.split(";"):
                    self._writer.execute(statement)
                self._writer.execute(f"PRAGMA user_version = {version}")
            self._writer.execute("COMMIT")
        if found not in (0, version):
            self.close()
            kind, remedy = (
                (TailorbirdError, "use the newer program, or another workspace")
                if found > version
                else (OlderFormatError, "upgrade it, or start a new workspace and ingest its data again")
            )
            raise kind(
                f"{self.name} stream {self.path} has format {found}, this program knows {version}",
                remedy=remedy,
            )

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write, all or nothing.

        Raises:
            StreamAwayError: another writer held the file for too long, or the file cannot be written.
        """
        started = time.monotonic()
        if not self._writing.acquire(timeout=self._wait_seconds):
            raise self._away("the writers before are not getting on", "locked")
        try:
            self._require_same_file()
            with self._mended_errors():
                left = max(0.0, self._wait_seconds - (time.monotonic() - started))
                # One writer at a time from the first statement on, so offsets follow the order of commits.
                take_turn(self._writer, wait_seconds=left)
                try:
                    yield self._writer
                    self._writer.execute("COMMIT")
                except BaseException:
                    if self._writer.in_transaction:
                        self._writer.execute("ROLLBACK")
                    raise
            self._require_same_file()  # again: it may have gone while we wrote
        finally:
            self._writing.release()

    def ask(self, question: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """Read within one snapshot."""
        self._require_same_file()
        with self._mended_errors(), self._reading:
            self._reader.execute("BEGIN")
            try:
                return question(self._reader)
            finally:
                self._reader.execute("COMMIT")

    def sync(self) -> None:
        """Make everything that was committed survive a power cut; durable commits do already."""
        if self._durable:
            return
        with self._mended_errors(), self._writing:
            busy, frames, moved = self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if busy or moved < frames:  # somebody still reads an older state of the file
            fsync(self.path.with_name(f"{self.path.name}-wal"))
            fsync(self.path.parent)

    def shrink(self) -> None:
        """Give free pages back to the disk, a few at a time: writers pass in between.

        A file that was made without incremental vacuum keeps them for records to come.
        """
        free, before = self._free_pages(), None
        while free and (before is None or free < before):
            with self._mended_errors(), self._writing:
                # As a script: execute() would take one step of the vacuum, which frees one page.
                self._writer.executescript(f"PRAGMA incremental_vacuum({_SHRINK_PAGES})")
            free, before = self._free_pages(), free
        with self._mended_errors(), self._writing:
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def purge(self, *, wait_seconds: float = PURGE_SECONDS) -> None:
        """As :meth:`shrink`, and let go of every older state of the file, in which deleted rows still stand.

        Raises:
            StreamAwayError: somebody reads an older state for too long.
        """
        deadline = time.monotonic() + wait_seconds
        self.shrink()
        while True:
            with self._mended_errors(), self._writing:
                busy, *_ = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:
                return
            if time.monotonic() > deadline:
                raise self._away("somebody reads an older state of it, in which deleted rows stand", "busy")
            time.sleep(0.05)

    def close(self) -> None:
        """Release the file; closing twice is fine."""
        with self._writing, self._reading:
            self._writer.close()
            self._reader.close()

    def _require_same_file(self) -> None:
        """What is written to a file that nobody finds any more must not be promised to anybody."""
        if identity(self.path) != self._identity:
            raise StreamAwayError(
                f"{self.name} stream {self.path}: the file was deleted or replaced while it was in use",
                remedy="put it back, then restart what uses it",
            )

    def _free_pages(self) -> int:
        return int(self.ask(lambda connection: connection.execute("PRAGMA freelist_count").fetchone()[0]))

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=self._wait_seconds, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute(
            "PRAGMA secure_delete = ON"
        )  # what was forgotten is overwritten, not only unlinked
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if self._durable else 'NORMAL'}")
        return connection

    @contextmanager
    def _mended_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError) or "parameter" in str(error):
                raise self._refused(error) from error
            raise self._away(str(error), str(error)) from error
        except (OverflowError, UnicodeError) as error:  # SQLite's integers have 64 bits, its text is UTF-8
            raise self._refused(error) from error

    def _refused(self, error: Exception) -> UsageError:
        return UsageError(
            f"{self.name} stream {self.path}: a record cannot be stored: {error}", remedy="correct the record"
        )

    def _away(self, what: str, cause: str) -> StreamAwayError:
        return StreamAwayError(f"{self.name} stream {self.path}: {what}", remedy=_remedy(cause))


def _remedy(message: str) -> str:
    if "locked" in message or "busy" in message:
        return "another process writes for very long; try again"
    if "malformed" in message or "not a database" in message:
        return "the file is damaged: restore it from a copy, or move it away and ingest again"
    if "full" in message or "disk I/O" in message:
        return "free some disk space and try again"
    if "closed" in message:
        return "open the stream again"
    return "check the file and its folder: both must be writable"
