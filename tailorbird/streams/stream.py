"""The protocol of a stream. Its laws are in tests/streams/laws.py; every engine passes them for both streams."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar, runtime_checkable

import pyarrow as pa

from tailorbird.errors import TailorbirdError
from tailorbird.streams.position import BEGINNING, Position

Record = TypeVar("Record")
Condition = tuple[str, str, object]
"""(column, operator, value): operators are ``< <= > >= = in``; a time is given as epoch seconds."""


Refuses = Callable[[Collection[str]], AbstractSet[str]]
"""Of some person keys those whose records are not stored now; asked at the instant of storing, so it must be quick."""


def nobody(people: Collection[str]) -> AbstractSet[str]:
    """Refuse nobody's records."""
    return frozenset()


class StreamAwayError(TailorbirdError):
    """The stream cannot be read or written now (locked, full, damaged, closed): it is not the record's fault."""


class Entry(NamedTuple, Generic[Record]):
    """One record where it stands."""

    partition: int
    offset: int
    record: Record


@dataclass(frozen=True)
class Appended(Generic[Record]):
    """What an append stored: new ``entries`` in the order given; ``duplicates`` had a key that is known.

    ``refused`` are of people whose records are not stored: all three together are what was given.
    """

    entries: Sequence[Entry[Record]]
    duplicates: int
    refused: Sequence[Record] = ()


@dataclass(frozen=True)
class Loaded:
    """What a bulk append stored, in numbers."""

    stored: int
    duplicates: int
    refused: int = 0


@dataclass(frozen=True)
class Chunk(Generic[Record]):
    """What a read found, each partition in the order of its offsets, and the ``position`` to go on from."""

    entries: Sequence[Entry[Record]]
    position: Position

    def __bool__(self) -> bool:
        return bool(self.entries)


class Stream(Protocol[Record]):
    """An append-only log of records, each with a key of its own and a person it belongs to.

    All records of one person are in one partition. Reading from the same position gives the same records, except those
    of people who were forgotten since.
    """

    def append(self, records: Sequence[Record]) -> Appended[Record]:
        """Store records as durably as the stream promises before returning; a known key is counted, not stored again.

        Raises:
            UsageError: one of the records cannot be stored; none was.
            StreamAwayError: not all were stored for certain. Append them again: what is stored already counts as known.
        """

    def append_table(
        self, table: pa.Table, *, on_rows: Callable[[int], object] = lambda rows: None
    ) -> Loaded:
        """Append many records given as rows of the codec's schema; ``on_rows`` hears of every stored chunk."""

    def read(self, after: Position, *, limit: int = 10_000) -> Chunk[Record]:
        """Up to ``limit`` records past ``after``, archived ones included; empty at the end.

        Fewer than ``limit`` are all there are: the position is then the end, whoever stood there and was forgotten.
        """

    def scan(
        self,
        *,
        columns: Sequence[str] | None = None,
        where: Sequence[Condition] = (),
        after: Position = BEGINNING,
        through: Position | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Every record past ``after`` and up to ``through`` (the end as it is now) that meets all of ``where``, once.

        Batches are bounded, each partition comes in the order of its offsets; ``columns`` (all, if None) are given with
        ``partition`` and ``offset`` before them.
        """

    def end(self) -> Position:
        """The position of the newest records."""

    def lag(self, after: Position) -> int:
        """How many records at most lie past ``after`` (holes count)."""

    def find(self, key: str) -> Record | None:
        """The record with this key; None where there is none."""

    def forget(self, user_key: str) -> int:
        """Delete every record of a person here and in the archive; how many they were. Their keys stay taken.

        Raises:
            StreamAwayError: others hold the stream for too long; do it again.
        """

    def forget_all(self, user_keys: Collection[str]) -> Mapping[str, int]:
        """As :meth:`forget`, of many people in one pass over the archive; those who had records, and how many."""

    def close(self) -> None:
        """Release what is open; closing twice is fine."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


@runtime_checkable
class Probed(Protocol):
    """A stream that finds out sooner than by its usual wait whether its engine answers."""

    def probe(self) -> None:
        """Raise TailorbirdError where the stream cannot be read or written now."""


@runtime_checkable
class Announced(Protocol):
    """A stream whose first append takes long where nobody announced it."""

    def announce_appends(self) -> None:
        """Begin with what the first append needs; waits for nobody, and leaves it to the append to fail."""


@runtime_checkable
class Identified(Protocol):
    """A stream that says whether it is the one of before, whatever was deleted of it meanwhile."""

    @property
    def identity(self) -> str:
        """Tells it from a stream that came into its place."""


def trouble_of(stream: Stream[Any]) -> str:
    """Why the stream cannot be read or written now; empty where it can. Asks the engine: not for an event loop's thread."""
    try:
        if isinstance(stream, Probed):
            stream.probe()
        stream.end()
    except TailorbirdError as error:
        return f"{error.what}: {error.remedy}"
    return ""
