"""One transaction on Redis: what it has read, and its changes until they are committed."""

import secrets
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from feature_repo.online.database import Packed
from feature_repo.online.redis_scripts import BUCKETS, HEAD, bucket_of

FOLLOWED = "followed-"
"""Begins the generation of a table whose writes are listed."""


class Written(NamedTuple):
    """A row as it lies in Redis, and the number of its write."""

    row: Packed
    number: int

    @classmethod
    def of(cls, key: bytes, value: bytes) -> "Written":
        """Read a stored value; one that is too short to be one is a row that cannot be unpacked."""
        if len(value) < HEAD.size:
            return cls(Packed(key, 0, 0, b""), 0)
        event_ts, created_ts, number = HEAD.unpack_from(value)
        return cls(Packed(key, event_ts, created_ts, value[HEAD.size :]), number)

    def value(self) -> bytes:
        """As it is stored."""
        return HEAD.pack(self.row.event_ts, self.row.created_ts, self.number) + self.row.blob

    def replaces(self, other: "Written | None") -> bool:
        """Whether it is at least as new as ``other``."""
        return other is None or self.row[1:3] >= other.row[1:3]


class Change(NamedTuple):
    """What becomes of a row: ``written`` takes its place if newer, or whatever is there (``anyway``); None deletes it."""

    written: Written | None
    anyway: bool

    def over(self, stored: Written | None) -> Written | None:
        """The row as it will be."""
        if self.anyway or self.written is None:
            return self.written
        return self.written if self.written.replaces(stored) else stored


class Turn:
    """The changes of one transaction, which becomes commit ``number``; ``marks`` and ``notes`` are as its thread sees them."""

    def __init__(self, token: bytes, marks: Mapping[str, str], notes: set[bytes]) -> None:
        self.token, self.commits = token, marks.get("commits", "")
        # Greater than that of every commit before, also where the root was lost and the buckets were not.
        self.number = max(int(self.commits or 0) + 1, time.time_ns() // 1_000)
        self._before, self.marks = dict(marks), dict(marks)
        self._noted, self.notes = frozenset(notes), set(notes)
        self.changes: dict[str, dict[bytes, Change]] = defaultdict(dict)
        self.made: list[str] = []
        self.dropped: list[str] = []

    def make(self, *, followed: bool) -> str:
        """A new generation of rows: none."""
        generation = (FOLLOWED if followed else "rows-") + secrets.token_hex(8)
        self.made.append(generation)
        return generation

    def drop(self, generation: str) -> None:
        """Drop a generation with its rows."""
        self.changes.pop(generation, None)
        self.dropped.append(generation)

    def put(self, generation: str, rows: Sequence[Packed], *, number: int) -> None:
        """Store rows that are newer than those there."""
        changes = self.changes[generation]
        for row in rows:
            written, before = Written(row, number), changes.get(row.key)
            if before is None:
                changes[row.key] = Change(written, anyway=False)
            else:  # after a deletion whatever is in Redis counts no more
                changes[row.key] = Change(
                    before.over(None) if _older(written, before) else written, before.anyway
                )

    def delete(self, generation: str, keys: Sequence[bytes]) -> None:
        """Drop rows."""
        self.changes[generation].update({key: Change(None, anyway=True) for key in keys})

    def seen(
        self, generation: str, keys: Sequence[bytes], stored: Mapping[bytes, Written]
    ) -> dict[bytes, Written]:
        """The rows of ``keys`` as this transaction sees them; ``stored`` is what Redis has."""
        changes = self.changes[generation]
        rows = (
            (key, changes[key].over(stored.get(key)) if key in changes else stored.get(key)) for key in keys
        )
        return {key: row for key, row in rows if row is not None}

    def lists(self) -> list[list[bytes]]:
        """What COMMIT sets and drops of marks and notes."""
        changed = [
            part.encode()
            for name, value in self.marks.items()
            if self._before.get(name) != value
            for part in (name, value)
        ]
        gone = [name.encode() for name in self._before if name not in self.marks]
        return [changed, gone, list(self.notes - self._noted), list(self._noted - self.notes)]

    @property
    def idle(self) -> bool:
        """Whether there is nothing to commit."""
        return not any(self.lists()) and not self.made and not self.dropped and not any(self.changes.values())

    def by_bucket(self) -> dict[int, list[tuple[bytes, str, bytes, bytes]]]:
        """The changes of each bucket: operation, generation, field and value."""
        found: dict[int, list[tuple[bytes, str, bytes, bytes]]] = defaultdict(list)
        stay = [generation for generation in self.made if generation not in self.dropped]
        gone = [generation for generation in self.dropped if generation not in self.made]
        for bucket in range(BUCKETS):
            found[bucket] = [(b"drop", generation, b"", b"") for generation in gone]
            found[bucket] += [(b"make", generation, b"", b"") for generation in stay]
        for generation, changes in self.changes.items():
            followed = b" followed" if generation.startswith(FOLLOWED) else b""
            for key, (written, anyway) in changes.items():
                operation = b"delete" if written is None else (b"set" if anyway else b"newest") + followed
                value = b"" if written is None else written.value()
                found[bucket_of(key)].append((operation, generation, key, value))
        return {bucket: changes for bucket, changes in found.items() if changes}


def _older(written: Written, before: Change) -> bool:
    return before.written is not None and not written.replaces(before.written)
