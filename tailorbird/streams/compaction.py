"""Compaction: moves records from the live database to the archive, in small durable steps, while others write."""

from dataclasses import dataclass
from typing import TypeVar

from tailorbird.streams.archive import FILE_ROWS
from tailorbird.streams.sqlite import SqliteStream

Record = TypeVar("Record")
SWEEP_HOURS = 1
"""How long a file that the table no longer needs stays for those who still read it."""


@dataclass(frozen=True)
class Compacted:
    """What one compaction did: records moved, in how many commits, small files joined."""

    records: int
    commits: int
    joined: int


def compact(stream: SqliteStream[Record]) -> Compacted:
    """Move every record of ``stream`` to its archive; safe to interrupt at any instant and to run again.

    A step's rows are durable in the archive before the database drops them. A crash in between leaves them in both: the
    database says up to where the archive counts, so readers see each once, and the next run drops them.
    """
    moved = commits = 0
    with stream.moving():
        while len(rows := stream.tail(limit=FILE_ROWS)):
            stream.archive.append(rows)
            stream.drop_through(int(rows["offset"][-1].as_py()))
            moved, commits = moved + len(rows), commits + 1
        joined = stream.archive.merge()
        if joined:
            stream.archive.sweep(keep_hours=SWEEP_HOURS)
        if moved:
            stream.shrink()
    return Compacted(moved, commits, joined)
