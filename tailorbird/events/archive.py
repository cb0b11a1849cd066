"""The archive of the event log: ``day=YYYY-MM-DD/<first offset>-<last offset>.parquet``, written once, never changed.

The offsets in a name are those of the compaction that wrote the file, so all files of one compaction share them, and
a file counts only when the log says that its last offset is compacted: a half finished compaction stays invisible.
"""

import os
import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from tailorbird.errors import TailorbirdError
from tailorbird.events.rows import rows_of_table
from tailorbird.events.schema import SCHEMA

ARCHIVE_SCHEMA = pa.schema([pa.field("offset", pa.int64(), nullable=False), *SCHEMA])
_NAME = re.compile(r"^(\d+)-(\d+)\.parquet$")
_STAGING = ".staging"


@dataclass(frozen=True, order=True)
class Part:
    """One file of the archive."""

    first: int
    last: int
    day: str
    path: Path


def parts(folder: Path) -> list[Part]:
    """Every file of the archive, sorted by offset and day, published or orphaned."""
    found = []
    for path in folder.glob("day=*/*.parquet"):
        if match := _NAME.match(path.name):
            found.append(Part(int(match[1]), int(match[2]), path.parent.name[4:], path))
    return sorted(found)


def published_parts(folder: Path, *, through: int) -> list[Part]:
    """The files that hold the offsets 1 to ``through``; raises TailorbirdError when some are gone."""
    published = [part for part in parts(folder) if part.last <= through]
    expected = 1
    for first, last in sorted({(part.first, part.last) for part in published}):
        if first != expected:
            break
        expected = last + 1
    if expected != through + 1:
        raise TailorbirdError(
            f"event archive {folder} lacks the events from offset {expected} to {through}",
            remedy="restore the folder from a copy, or start a new workspace and ingest again",
        )
    return published


def publish(folder: Path, table: pa.Table) -> list[Path]:
    """Write the rows of ``table`` (ARCHIVE_SCHEMA, sorted by offset) as one file a day, each complete or absent."""
    first, last = pc.min_max(table["offset"]).as_py().values()
    name = f"{first:012d}-{last:012d}.parquet"
    staging = folder / _STAGING
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    written = []
    for day, rows in _by_day(table):
        staged, final = staging / f"{day}.parquet", folder / f"day={day}" / name
        pq.write_table(rows, staged, compression="zstd")
        written.append((staged, final))
    # Side by side: the file system writes its journal once for many that wait together.
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(_sync, (staged for staged, _ in written)))
    for staged, final in written:
        final.parent.mkdir(exist_ok=True)
        staged.replace(final)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(_sync, {final.parent for _, final in written} | {folder}))
    shutil.rmtree(staging)
    return [final for _, final in written]


def remove_orphans(folder: Path, *, after: int) -> int:
    """Delete files that an interrupted compaction left behind; returns how many."""
    orphans = [part for part in parts(folder) if part.last > after]
    for part in orphans:
        part.path.unlink()
    shutil.rmtree(folder / _STAGING, ignore_errors=True)
    return len(orphans)


def read_parts(files: Sequence[Part], *, where: ds.Expression | None = None) -> pa.Table:
    """Read files of the archive into one table with ARCHIVE_SCHEMA; ``where`` filters rows."""
    if not files:
        return ARCHIVE_SCHEMA.empty_table()
    with readable(files[0].path.parent.parent):
        source = ds.dataset([str(part.path) for part in files], schema=ARCHIVE_SCHEMA, format="parquet")
        return source.to_table(filter=where)


class ReadAhead:
    """Reads the archive in long strides, so that whoever pages through it does not open every file for every page."""

    def __init__(self, folder: Path, *, stride: int = 100_000) -> None:
        self._folder, self._stride = folder, stride
        self._held = ARCHIVE_SCHEMA.empty_table()
        self._lock = threading.Lock()

    def rows(self, *, after: int, through: int, limit: int) -> list[tuple[object, ...]]:
        """Up to ``limit`` rows (offset first, times in µs) with offsets in (``after``, ``through``], in order."""
        end = min(through, after + limit)  # offsets have no holes
        if limit < self._stride // 100:  # a glance, not a journey
            return list(rows_of_table(self._table(after, end, through=through)))
        with self._lock:
            first, last = _ends(self._held)
            if not first <= after + 1 <= end <= last:
                self._held = self._table(
                    after, min(through, after + max(limit, self._stride)), through=through
                )
                first, last = _ends(self._held)
            page = self._held.slice(after + 1 - first, end - after)
            if end == last:
                self._held = ARCHIVE_SCHEMA.empty_table()
            return list(rows_of_table(page))

    def _table(self, after: int, end: int, *, through: int) -> pa.Table:
        """The rows with offsets in (``after``, ``end``], by offset."""
        files = published_parts(self._folder, through=through)
        offset = ds.field("offset")
        wanted = [part for part in files if part.last > after and part.first <= end]
        return read_parts(wanted, where=(offset > after) & (offset <= end)).sort_by("offset")


def _ends(table: pa.Table) -> tuple[int, int]:
    offsets = table["offset"]
    return (offsets[0].as_py(), offsets[-1].as_py()) if len(table) else (1, 0)


def _by_day(table: pa.Table) -> Iterator[tuple[date, pa.Table]]:
    days = table["event_time"].cast(pa.int64()).to_numpy() // 86_400_000_000
    order = np.argsort(days, kind="stable")
    ordered, days = table.take(order), days[order]
    starts = np.flatnonzero(np.diff(days, prepend=days[0] - 1)) if len(days) else np.zeros(0, np.int64)
    for start, end in zip(starts, [*starts[1:], len(days)], strict=True):
        yield np.datetime64(int(days[start]), "D").item(), ordered.slice(start, end - start)


@contextmanager
def readable(folder: Path) -> Iterator[None]:
    """Turn a damaged or vanished file into an error that names the folder and the remedy."""
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        raise TailorbirdError(
            f"event archive {folder} cannot be read: {error}",
            remedy="restore the file from a copy, or start a new workspace and ingest again",
        ) from error


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
