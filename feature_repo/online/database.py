"""The protocol of the database behind the online store. Its laws are in tests/feature_repo/laws; every engine passes them."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol


class Packed(NamedTuple):
    """A packed row under its key, with the instant of its newest event and its revision, both as epoch microseconds."""

    key: bytes
    event_ts: int
    created_ts: int
    blob: bytes


class Changed(NamedTuple):
    """A packed row and the number of the write that stored it."""

    key: bytes
    blob: bytes
    written: int


class OnlineDatabase(Protocol):
    """Tables of packed rows, marks (short texts by name) and notes (keys of a table under a kind), in one place.

    Every change is made in a transaction, one at a time, and all of it shows at once or never. Within a transaction the
    thread that holds it reads its own changes; everybody else reads what is committed, and never waits. Every method
    raises FeatureStoreAwayError, with a remedy, where the place cannot be reached, is damaged, full or has lost its rows.
    """

    @property
    def in_transaction(self) -> bool:
        """Whether this thread holds the transaction."""

    def prepare(self) -> None:
        """Make the place ready where it is not: the file or whatever it needs before its first table."""

    def transaction(self, *, wait: bool = True) -> AbstractContextManager[None]:
        """Hold the turn to write for a read-modify-write; joins the transaction that this thread already holds.

        An exception undoes everything. Without ``wait`` it raises at once where another writer is at work.
        """

    def is_lost(self, tables: Sequence[str]) -> bool:
        """Whether the place answers and does not hold all rows of these tables: they must be made again from the events."""

    def marks_lead(self) -> bool:
        """Whether a commit is under way whose marks show already and whose rows may not yet."""

    def unfinished(self) -> bool:
        """Whether a writer died with work that the next transaction ends."""

    def alone(self, name: str) -> AbstractContextManager[bool]:
        """Whether nobody else, wherever they run, does the long work ``name`` now; others hear so until the block ends."""

    def tables(self, prefix: str) -> list[str]:
        """The names of the tables that begin so."""

    def create_table(self, table: str, *, followed: bool) -> None:
        """Make an empty table; only of one that is ``followed`` can be asked what changed."""

    def drop_table(self, table: str) -> None:
        """Drop a table with its rows, where it is there."""

    def rename_table(self, table: str, to: str) -> None:
        """Give a table, with its rows, a name that is free."""

    def read(self, table: str, keys: Sequence[bytes]) -> Mapping[bytes, Packed]:
        """The rows of these keys that are there, in one round trip."""

    def changed(self, table: str, *, since: int) -> list[Changed]:
        """The rows that were stored by a write of a greater number than ``since``."""

    def write(self, table: str, rows: Sequence[Packed], *, number: int) -> None:
        """Store rows as of write ``number``; one older than the stored one (event time, then revision) changes nothing."""

    def delete(self, table: str, keys: Sequence[bytes]) -> int:
        """Drop rows; how many were there."""

    def newest(self, table: str, keys: Sequence[bytes]) -> int:
        """The greatest number of the writes that stored the rows of these keys; 0 where there are none."""

    def last_write(self, table: str) -> int:
        """At least the greatest number of all writes to the rows of a table."""

    def marks(self, *names: str) -> list[str | None]:
        """The marks of these names, in that order; None for one that was never set."""

    def set_mark(self, name: str, value: str | None) -> None:
        """Set a mark, or drop it."""

    def notes(self, kind: str) -> set[tuple[str, bytes]]:
        """Table and key of every note of a kind."""

    def note(self, kind: str, table: str, keys: Sequence[bytes]) -> None:
        """Note keys of a table; one that is noted already stays."""

    def erase(self, kind: str, table: str, keys: Sequence[bytes] | None = None) -> None:
        """Drop the notes of these keys, or of the whole table."""

    def purge(self) -> None:
        """Let go of older states of the rows, in which deleted ones stand; FeatureStoreAwayError where others keep them."""

    def disconnect(self) -> None:
        """Close what this thread holds open."""
