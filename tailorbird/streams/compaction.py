"""Compaction: moves records from the live database to the archive, in small durable steps, while others write."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from tailorbird.errors import TailorbirdError
from tailorbird.plumbing.alone import alone, alone_if_free
from tailorbird.streams.archive import FILE_ROWS, Archive

log = logging.getLogger(__name__)
SWEEP_HOURS = 1
"""How long a file that the table no longer needs stays for those who still read it."""
MOST_LIVE = 50_000
"""Live records from which on a compaction is due."""
LONGEST_SECONDS = 900.0
"""How long a record waits for the archive at most, so that those who read only the archive know of it."""


class Part(Protocol):
    """One partition of a stream, with the archive of its own."""

    archive: Archive

    def tail(self, *, limit: int) -> pa.Table:
        """The oldest records that are not compacted, at most ``limit``, as the archive holds them."""

    def sync(self) -> None:
        """Make what was stored so far survive a power cut."""

    def drop_through(self, offset: int) -> None:
        """Note that records up to ``offset`` are in the archive and drop them here."""


class Compactable(Protocol):
    """A stream whose records are live in a database of this machine until they are moved to the archive."""

    path: Path

    @property
    def parts(self) -> Sequence[Part]:
        """Its partitions."""

    @property
    def archive_lock(self) -> Path:
        """Held by the one who changes the archive."""

    def live(self) -> int:
        """How many records at most are not compacted."""

    def finish_move(self) -> None:
        """Finish what an interrupted compaction left half done; take in what only the archive knows."""

    def shrink(self) -> None:
        """Give the disk back what was dropped."""

    def purge(self) -> None:
        """As :meth:`shrink`, and let go of every older state of the database, in which it still stands. Raises StreamAwayError."""


@dataclass(frozen=True)
class Compacted:
    """What one compaction did: records moved, in how many commits, small files joined."""

    records: int
    commits: int
    joined: int


NOTHING = Compacted(0, 0, 0)


def compact(stream: Compactable) -> Compacted:
    """Move every record of ``stream`` to its archive; safe to interrupt at any instant and to run again.

    A step's rows are durable in the database before the archive takes them, and in the archive before the database drops
    them: at no instant does the archive alone know of an offset. A crash in between leaves them in both: the
    database says up to where the archive counts, so readers see each once, and the next run drops them.
    """
    with alone(stream.archive_lock):
        return compact_alone(stream)


def compact_regularly(
    streams: Sequence[Compactable],
    *,
    stop: threading.Event,
    every_seconds: float = 15.0,
    most_live: int = MOST_LIVE,
    longest_seconds: float = LONGEST_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Compact what has grown or waited long, until ``stop``; another process that compacts already is left to it."""
    due = {stream.path: clock() for stream in streams}
    while not stop.wait(every_seconds):
        for stream in streams:
            try:
                live = stream.live()
                if live >= most_live or (live and clock() >= due[stream.path]):
                    with alone_if_free(stream.archive_lock) as free:
                        done = compact_alone(stream) if free else NOTHING
                    due[stream.path] = clock() + longest_seconds
                    log.info("%s: %d records moved to the archive", stream.path.name, done.records)
            except TailorbirdError as error:
                log.warning("compaction waits: %s", error)


def compact_alone(stream: Compactable) -> Compacted:
    """As :func:`compact`, for who holds the archive's lock already.

    What is stored meanwhile waits for the next time: where events never stop coming, this would not end either.
    """
    moved = commits = joined = 0
    stream.finish_move()
    for part in stream.parts:
        while len(rows := part.tail(limit=FILE_ROWS)):
            part.sync()
            part.archive.append(rows)
            part.drop_through(int(rows["offset"][-1].as_py()))
            moved, commits = moved + len(rows), commits + 1
            if len(rows) < FILE_ROWS:
                break
        if merged := part.archive.merge():
            part.archive.sweep(keep_hours=SWEEP_HOURS)
        joined += merged
    if moved:
        stream.shrink()
    return Compacted(moved, commits, joined)
