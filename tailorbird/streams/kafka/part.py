"""One partition of a mirrored topic: its live records and its archive, as readers and compaction see them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import pyarrow as pa

from tailorbird.plumbing.objects import ObjectPath
from tailorbird.streams.archive import Archive
from tailorbird.streams.archived import ArchivedRows
from tailorbird.streams.codec import Row
from tailorbird.streams.conditions import expression
from tailorbird.streams.kafka.mirror import Mirror
from tailorbird.streams.stream import Condition

Record = TypeVar("Record")
SCAN_ROWS = 50_000
_PIECE_ROWS = 25_000


class MirrorPart(Generic[Record]):
    """The records of one partition; offsets count from 0, where nothing is they are -1."""

    def __init__(
        self, mirror: Mirror[Record], partition: int, *, archive: Path | ObjectPath, source: str
    ) -> None:
        self.partition, self._mirror = partition, mirror
        self.archive = Archive(archive, mirror.codec, source=source, partition=partition)
        self._archived = ArchivedRows(self.archive, mirror.codec)

    def read(self, after: int, *, limit: int) -> list[Row]:
        """Up to ``limit`` rows past ``after``, archived ones included, each with its offset first."""
        rows: list[Row] = []
        while len(rows) < limit:
            compacted, live = self._mirror.page(self.partition, after, limit - len(rows))
            if after < compacted:
                archived = self._archived.page(after=after, through=compacted, limit=limit - len(rows))
                rows += archived
                after = int(archived[-1][0]) if len(rows) == limit else compacted  # type: ignore[call-overload]
                continue  # the rows after them may have been archived meanwhile
            rows += live
            break
        return rows

    def scan(
        self, *, columns: Sequence[str] | None, where: Sequence[Condition], after: int, through: int
    ) -> Iterator[pa.RecordBatch]:
        """Every record in (``after``, ``through``] that meets all of ``where``."""
        names = None if columns is None else list(dict.fromkeys(["partition", "offset", *columns]))
        while after < through:
            compacted, live = self._mirror.page(self.partition, after, SCAN_ROWS)
            if after < compacted:
                self._archived.require(compacted)
                for table in self.archive.read(
                    after=after, through=min(compacted, through), columns=columns, where=where
                ):
                    yield from table.to_batches(max_chunksize=SCAN_ROWS)
                after = compacted
                continue
            rows = [row for row in live if row[0] <= through]  # type: ignore[operator]
            if rows:
                table = self._placed(rows).filter(expression(where, self.archive.schema))
                yield from (table if names is None else table.select(names)).to_batches()
            if len(live) < SCAN_ROWS:
                return
            after = int(live[-1][0])  # type: ignore[call-overload]

    def at(self, offset: int) -> Row | None:
        """The row at ``offset``; None where there is none."""
        compacted, rows = self._mirror.page(self.partition, offset - 1, 1)
        if offset <= compacted:
            return self._archived.at(offset)
        return rows[0] if rows and rows[0][0] == offset else None

    def tail(self, *, limit: int) -> pa.Table:
        """The oldest records that are not compacted, at most ``limit``, as the archive holds them."""
        start, pieces, found = (
            self._mirror.marks()[self.partition].compacted,
            [self.archive.schema.empty_table()],
            0,
        )
        while rows := self._mirror.page(self.partition, start, min(limit - found, _PIECE_ROWS))[1]:
            pieces.append(self._placed(rows))
            start, found = int(rows[-1][0]), found + len(rows)  # type: ignore[call-overload]
        return pa.concat_tables(pieces)

    def sync(self) -> None:
        """Nothing to do: the topic holds what a power cut takes from the mirror."""

    def drop_through(self, offset: int) -> None:
        """Note that records up to ``offset`` are in the archive and drop them here."""
        self._mirror.drop_through(self.partition, offset)

    def archived_keys(self, *, after: int, through: int) -> Iterator[Mapping[int, str]]:
        """The keys of archived records by their offsets, file by file."""
        key = self._mirror.codec.key
        for table in self.archive.read(after=after, through=through, columns=[key]):
            if len(table):
                yield dict(zip(table["offset"].to_pylist(), table[key].to_pylist(), strict=True))

    def _placed(self, rows: Sequence[Row]) -> pa.Table:
        table = self._mirror.codec.table_of_rows([row[1:] for row in rows])
        offsets = pa.array([row[0] for row in rows], pa.int64())
        partitions = pa.array([self.partition] * len(rows), pa.int32())
        return pa.Table.from_arrays([partitions, offsets, *table.columns], schema=self.archive.schema)
