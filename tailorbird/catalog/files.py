"""The catalogue's tables as files: replaced as a whole, each saying which patches it holds already."""

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tailorbird.plumbing.disk import fsync

ITEMS_FILE, USERS_FILE = "items.parquet", "users.parquet"
LOCK_FILE = ".writing.lock"
"""Held by whoever replaces a table: ingest, or the compaction of patches."""
_KEY = b"tailorbird.catalog"
ROWS_AT_ONCE = 20_000


@dataclass(frozen=True)
class Stamp:
    """What a table is: its ``generation``, which only its being written anew as a whole changes, and the patches it holds.

    ``sequence`` is the last of them in the log named ``log``; "" and 0 where no patch was ever taken in.
    """

    generation: str = ""
    log: str = ""
    sequence: int = 0

    def held(self, log: str) -> int:
        """The last patch of ``log`` that the table holds; 0 where it knows of another log only."""
        return self.sequence if self.log == log else 0


def new_generation() -> str:
    """A name that no table had before."""
    return uuid.uuid4().hex


def read_table(path: Path) -> tuple[pd.DataFrame, Stamp]:
    """A table with what it is, both of one moment. Raises FileNotFoundError."""
    with path.open("rb") as handle:
        table = pq.read_table(handle)
        # Part by part: making Python's objects lets no other thread run, and requests wait beside.
        parts = [part.to_pandas() for part in table.to_batches(max_chunksize=ROWS_AT_ONCE)]
        frame = pd.concat(parts, ignore_index=True) if parts else table.to_pandas()
        return frame, stamp_of(table.schema.metadata, handle.fileno())


def read_stamp(path: Path) -> Stamp:
    """What a table is, without reading it; of a file that is not there, nothing."""
    try:
        with path.open("rb") as handle:
            return stamp_of(pq.read_schema(handle).metadata, handle.fileno())
    except FileNotFoundError:
        return Stamp()


def write_table(frame: pd.DataFrame, path: Path, *, stamp: Stamp | None = None) -> None:
    """Readers see the old file or the new one, never a half; with a ``stamp`` it is on the disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        if stamp is not None:
            said = {"generation": stamp.generation, "log": stamp.log, "sequence": stamp.sequence}
            table = table.replace_schema_metadata(
                {**(table.schema.metadata or {}), _KEY: json.dumps(said).encode()}
            )
        pq.write_table(table, staged)
        if stamp is not None:
            fsync(staged)
        staged.replace(path)
        if stamp is not None:
            fsync(path.parent)
    finally:
        staged.unlink(missing_ok=True)


def stamp_of(metadata: Mapping[bytes, bytes] | None, handle: int) -> Stamp:
    """What a table is, by its metadata and the number of its open file."""
    said = (metadata or {}).get(_KEY)
    if said is None:  # written by something that knows of no patches: the file itself is the generation
        status = os.fstat(handle)
        return Stamp(f"{status.st_mtime_ns}-{status.st_size}")
    values: dict[str, Any] = json.loads(said)
    return Stamp(**values)
