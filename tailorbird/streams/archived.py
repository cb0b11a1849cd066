"""Archived records as rows: page by page in long strides, or one by one."""

import threading
from collections.abc import Iterable

import pyarrow as pa

from tailorbird.errors import TailorbirdError
from tailorbird.streams.archive import Archive
from tailorbird.streams.codec import Codec, Row

STRIDE_ROWS = 100_000
"""Rows kept at hand for whoever pages through the archive."""


class ArchivedRows:
    """The rows of an archive, each with its offset before the codec's columns.

    The pages of one journey are cut from rows held at hand, so that a page does not open a file; what is held is of one
    version of the table: after an erasure nobody is given it any more.
    """

    def __init__(self, archive: Archive, codec: Codec) -> None:  # type: ignore[type-arg, unused-ignore]
        self._archive, self._codec = archive, codec
        self._lock = threading.Lock()
        self._after, self._version, self._rows = 0, "", list[Row]()

    def page(self, *, after: int, through: int, limit: int) -> list[Row]:
        """Up to ``limit`` rows with offsets in (``after``, ``through``], in order.

        Raises:
            TailorbirdError: the archive does not reach to ``through``.
        """
        if limit < STRIDE_ROWS // 100:  # a glance, not a journey
            self.require(through)
            return self._read(after, through, limit)
        with self._lock:
            version = self._archive.version()
            if (self._after, self._version) != (after, version) or len(self._rows) < limit:
                self.require(through)
                self._rows = self._read(after, through, limit + STRIDE_ROWS)
            page, self._rows = self._rows[:limit], self._rows[limit:]
            self._after, self._version = int(page[-1][0]) if page else after, version  # type: ignore[call-overload]
            return page

    def at(self, offset: int) -> Row | None:
        """The row at ``offset``; None where there is none."""
        rows = self._read(offset - 1, offset, 1)
        return rows[0] if rows else None

    def require(self, through: int) -> None:
        """Raise TailorbirdError where the archive does not hold everything up to ``through``."""
        if (held := self._archive.through()) < through:
            raise TailorbirdError(
                f"{self._codec.name} archive {self._archive.folder} lacks the records from offset {held + 1} to {through}",
                remedy="restore the folder from a copy, or start a new workspace and ingest again",
            )

    def _read(self, after: int, through: int, limit: int) -> list[Row]:
        rows: list[Row] = []
        for table in self._archive.read(after=after, through=through):
            rows += self._of(table.slice(0, limit - len(rows)))
            if len(rows) >= limit:
                break
        return rows

    def _of(self, table: pa.Table) -> Iterable[Row]:
        record = self._codec.rows_of_table(table.drop_columns(["partition", "offset"]))
        return [(offset, *row) for offset, row in zip(table["offset"].to_pylist(), record, strict=True)]
