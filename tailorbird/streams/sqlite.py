"""The embedded engine: a stream in one SQLite database and the archive beside it. One partition, any number of writers."""

import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Generic, Self, TypeVar

import orjson
import pyarrow as pa

from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.plumbing.alone import alone
from tailorbird.plumbing.objects import ObjectPath
from tailorbird.streams.archive import Archive
from tailorbird.streams.archived import ArchivedRows
from tailorbird.streams.codec import Codec, Row
from tailorbird.streams.conditions import expression
from tailorbird.streams.database import WAIT_SECONDS, Database
from tailorbird.streams.position import BEGINNING, Position
from tailorbird.streams.recovery import put_back, recover
from tailorbird.streams.stream import Appended, Chunk, Condition, Entry, Loaded, Refuses, nobody
from tailorbird.streams.tables import known, script, state

log = logging.getLogger(__name__)
BULK_ROWS = 50_000
"""Rows of one bulk transaction: few commits, yet the write-ahead file stays small."""
SCAN_ROWS = 50_000
_FORMAT = 2
_PARTITION = 0
_SLICE = 5_000
_PIECE_ROWS = 25_000

Record = TypeVar("Record")


class SqliteStream(Generic[Record]):
    """One stream. Offsets count from 1; where a person was forgotten they have holes.

    ``keys`` holds a digest of every key ever accepted, with its offset: it finds a record by its key, archived or not,
    and keeps the key taken when the record is gone. ``durable`` appends wait for the disk.
    """

    def __init__(
        self,
        path: Path,
        codec: Codec[Record],
        *,
        archive: Path | ObjectPath,
        durable: bool = True,
        wait_seconds: float = WAIT_SECONDS,
        refuses: Refuses = nobody,
    ) -> None:
        self.path, self.codec, self._refuses = Path(path), codec, refuses
        self._person_at = list(codec.columns).index(codec.person)
        names = ", ".join(f'"{name}"' for name in ("offset", *codec.columns))
        self._insert = f"INSERT INTO records ({names}) VALUES ({', '.join('?' * (len(codec.columns) + 1))})"  # noqa: S608
        self._select = f'SELECT {names} FROM records WHERE "offset" > ? ORDER BY "offset" LIMIT ?'  # noqa: S608
        self._database = Database(self.path, name=codec.name, durable=durable, wait_seconds=wait_seconds)
        self._database.create(script(codec), version=_FORMAT)
        source = self._database.ask(lambda c: c.execute("SELECT source FROM state").fetchone()[0])
        self.archive, self.identity = Archive(archive, codec, source=source), str(source)
        self._archived = ArchivedRows(self.archive, codec)
        try:
            self._catch_up()
        except BaseException:
            self.close()
            raise

    def append(self, records: Sequence[Record]) -> Appended[Record]:
        """Store records as durably as the stream promises before returning; a known key is counted, not stored again."""
        first: dict[bytes, tuple[Row, Record]] = {}
        for record in records:
            row = self.codec.to_row(record)
            first.setdefault(self.codec.digest(str(row[self.codec.key_at])), (row, record))
        if not first:
            return Appended([], 0)
        with self._database.transaction() as connection:
            # Within the transaction: whoever is refused by the time that a forgetting takes its turn comes no more.
            rows, fallen = self._welcome({digest: row for digest, (row, _) in first.items()})
            stored = self._store(connection, rows)
        entries = [Entry(_PARTITION, offset, first[digest][1]) for offset, digest in stored]
        if not fallen:
            return Appended(entries, len(records) - len(entries))
        refused = [each for each in records if self.codec.to_row(each)[self._person_at] in fallen]
        return Appended(entries, len(records) - len(entries) - len(refused), refused)

    def append_table(
        self, table: pa.Table, *, on_rows: Callable[[int], object] = lambda rows: None
    ) -> Loaded:
        """Append many records given as rows of the codec's schema; ``on_rows`` hears of every stored chunk."""
        stored = refused = 0
        for start in range(0, len(table), BULK_ROWS):
            chunk = table.slice(start, BULK_ROWS)
            rows: dict[bytes, Row] = {}
            for row in self.codec.rows_of_table(chunk):
                rows.setdefault(self.codec.digest(str(row[self.codec.key_at])), row)
            with self._database.transaction() as connection:
                rows, fallen = self._welcome(rows)
                stored += len(self._store(connection, rows))
            if fallen:
                refused += sum(row[self._person_at] in fallen for row in self.codec.rows_of_table(chunk))
            on_rows(len(chunk))
        return Loaded(stored, len(table) - stored - refused, refused)

    def read(self, after: Position, *, limit: int = 10_000) -> Chunk[Record]:
        """Up to ``limit`` records past ``after``, archived ones included; empty at the end."""
        if limit < 0:
            raise UsageError(f"read(limit={limit})", remedy="give a number from 0 on")
        rows: list[Row] = []
        start, end = (
            max(0, after[_PARTITION]),
            self.end(),
        )  # the end first: what is read then has all up to there
        while len(rows) < limit:
            compacted, live = self._page(start, limit - len(rows))
            if start < compacted:
                archived = self._archived.page(after=start, through=compacted, limit=limit - len(rows))
                rows += archived
                start = int(archived[-1][0]) if len(rows) == limit else compacted  # type: ignore[call-overload]
                continue  # the rows after them may have been archived meanwhile
            rows += live
            break
        entries = [Entry(_PARTITION, int(row[0]), self.codec.from_row(row[1:])) for row in rows]  # type: ignore[call-overload]
        reached = after.joined(end) if len(rows) < limit else after
        return Chunk(entries, reached.advanced(_PARTITION, entries[-1].offset) if entries else reached)

    def scan(
        self,
        *,
        columns: Sequence[str] | None = None,
        where: Sequence[Condition] = (),
        after: Position = BEGINNING,
        through: Position | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Every record past ``after`` and up to ``through`` (the end as it is now) that meets all of ``where``, once."""
        start, end = max(0, after[_PARTITION]), (self.end() if through is None else through)[_PARTITION]
        names = None if columns is None else list(dict.fromkeys(["partition", "offset", *columns]))
        while start < end:
            compacted, live = self._page(start, SCAN_ROWS)
            if start < compacted:
                self._archived.require(compacted)
                for table in self.archive.read(
                    after=start, through=min(compacted, end), columns=columns, where=where
                ):
                    yield from table.to_batches(max_chunksize=SCAN_ROWS)
                start = compacted
                continue
            rows = [row for row in live if row[0] <= end]  # type: ignore[operator]
            if rows:
                table = self._placed(rows).filter(expression(where, self.archive.schema))
                yield from (table if names is None else table.select(names)).to_batches()
            if len(live) < SCAN_ROWS:
                return
            start = int(live[-1][0])  # type: ignore[call-overload]

    def end(self) -> Position:
        """The position of the newest record ever stored."""
        last = self._database.ask(state)[0]
        return Position({_PARTITION: last}) if last else BEGINNING

    def lag(self, after: Position) -> int:
        """How many records at most lie past ``after`` (holes count)."""
        return max(0, self._database.ask(state)[0] - max(0, after[_PARTITION]))

    def find(self, key: str) -> Record | None:
        """The record with this key: a live one in microseconds, an archived one by the one file that may hold it."""

        def look(connection: sqlite3.Connection) -> tuple[int, list[Row]]:
            found = connection.execute(
                'SELECT "offset" FROM keys WHERE digest = ?', (self.codec.digest(key),)
            ).fetchone()
            if not found:
                return 0, []
            return found[0], connection.execute(self._select, (found[0] - 1, 1)).fetchall()

        offset, rows = self._database.ask(look)
        if not offset:
            return None
        row = rows[0] if rows and self._has(rows[0], offset, key) else self._archived.at(offset)
        return self.codec.from_row(row[1:]) if row and self._has(row, offset, key) else None

    def skip(self, through: Position) -> None:
        """Give no offset up to ``through`` to a new record; what lies between the end and there stays a hole."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE state SET last_offset = max(last_offset, ?)", (max(0, through[_PARTITION]),)
            )

    def put_back(self, rows: pa.Table) -> None:
        """Store the records of a backup where they stood: rows with their places, past everything there is."""
        with alone(self.archive_lock):
            put_back(self._database, self.archive, self.codec, rows)

    def forget(self, user_key: str) -> int:
        """Delete every record of a person here and in the archive; how many they were. Their keys stay taken."""
        return self.forget_all([user_key]).get(user_key, 0)

    def forget_all(self, user_keys: Collection[str]) -> Mapping[str, int]:
        """As :meth:`forget`, of many people in one pass over the archive; those who had records, and how many."""
        theirs = f'WHERE "{self.codec.person}" IN (SELECT value FROM json_each(?))'  # noqa: S608
        asked = (orjson.dumps(list(user_keys)).decode(),)
        with alone(self.archive_lock):  # nothing moves to the archive meanwhile
            self.finish_move()
            with self._database.transaction() as connection:
                counted = f'SELECT "{self.codec.person}", count(*) FROM records {theirs} GROUP BY 1'  # noqa: S608
                gone = Counter(dict(connection.execute(counted, asked).fetchall()))
                connection.execute(f"DELETE FROM records {theirs}", asked)  # noqa: S608
            gone += self.archive.forget_all(dict.fromkeys(user_keys))
            self._database.purge()
        return gone

    def close(self) -> None:
        """Release the file; closing twice is fine."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # What compaction asks for.

    @property
    def parts(self) -> Sequence[Self]:
        """Itself: it has one partition."""
        return [self]

    def live(self) -> int:
        """How many records at most are not compacted."""
        return self.lag(Position({_PARTITION: self.compacted()}))

    @property
    def archive_lock(self) -> Path:
        """Held by the one who changes the archive."""
        folder = self.archive.folder
        return (
            folder.with_suffix(".lock")
            if isinstance(folder, Path)
            else self.path.with_suffix(".archive.lock")
        )

    def finish_move(self) -> None:
        """Finish what an interrupted compaction left half done; take in what only the archive knows."""
        if (archived := self.archive.through()) > self.compacted():
            recover(self._database, self.archive, self.codec, through=archived)
            self.drop_through(archived)
        self._drop_leftovers(self.compacted())

    def compacted(self) -> int:
        """The offset up to which records live in the archive and no longer count here."""
        return self._database.ask(state)[1]

    def tail(self, *, limit: int) -> pa.Table:
        """The oldest records that are not compacted, at most ``limit``, as the archive holds them."""
        start, pieces, found = self.compacted(), [self.archive.schema.empty_table()], 0
        while found < limit and (rows := self._page(start, min(limit - found, _PIECE_ROWS))[1]):
            pieces.append(self._placed(rows))
            start, found = int(rows[-1][0]), found + len(rows)  # type: ignore[call-overload]
        return pa.concat_tables(pieces)

    def drop_through(self, offset: int) -> None:
        """Note that records up to ``offset`` are in the archive and drop them here, a few at a time."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE state SET compacted_offset = ? WHERE compacted_offset < ?", (offset, offset)
            )
        self._drop_leftovers(offset)

    def sync(self) -> None:
        """Make what was stored so far survive a power cut."""
        self._database.sync()

    def shrink(self) -> None:
        """Give the disk back what was dropped."""
        self._database.shrink()

    def purge(self) -> None:
        """As :meth:`shrink`, and let go of every older state of the file. Raises StreamAwayError."""
        self._database.purge()

    def _catch_up(self) -> None:
        """Where the archive goes further than the database, give no offset of the archive to another record."""
        archived = self._archived_through()  # before the end is read: others may append and compact meanwhile
        last = self._database.ask(state)[0]
        if self.archive.exists() and not last:
            raise TailorbirdError(
                f"{self.codec.name} stream {self.path} is empty, its archive {self.archive.folder} is not",
                remedy="restore the database that the archive belongs to, or move the archive away",
            )
        if archived > last:
            with alone(self.archive_lock):
                self.finish_move()

    def _archived_through(self) -> int:
        try:
            return self.archive.through()
        except TailorbirdError as error:
            # Storing goes on, since compaction looks before it drops; who reads the archive gets this error.
            log.warning("%s", error)
            return 0

    def _has(self, row: Row, offset: int, key: str) -> bool:
        return row[0] == offset and row[1 + self.codec.key_at] == key

    def _drop_leftovers(self, offset: int) -> None:
        first = 'SELECT "offset" FROM records ORDER BY "offset" LIMIT 1'
        while (row := self._database.ask(lambda c: c.execute(first).fetchone())) and row[0] <= offset:
            with self._database.transaction() as connection:  # writers of new records pass in between
                through = min(offset, row[0] + _SLICE)
                connection.execute('DELETE FROM records WHERE "offset" <= ?', (through,))

    def _page(self, after: int, limit: int) -> tuple[int, list[Row]]:
        return self._database.ask(
            lambda connection: (
                state(connection)[1],
                connection.execute(self._select, (after, limit)).fetchall(),
            )
        )

    def _placed(self, rows: Sequence[Row]) -> pa.Table:
        table = self.codec.table_of_rows([row[1:] for row in rows])
        offsets = pa.array([row[0] for row in rows], pa.int64())
        partitions = pa.array([_PARTITION] * len(rows), pa.int32())
        return pa.Table.from_arrays([partitions, offsets, *table.columns], schema=self.archive.schema)

    def _welcome(self, rows: dict[bytes, Row]) -> tuple[dict[bytes, Row], AbstractSet[str]]:
        """The rows that may be stored, and the people whose may not."""
        fallen = self._refuses({str(row[self._person_at]) for row in rows.values()})
        if not fallen:
            return rows, fallen
        return {key: row for key, row in rows.items() if row[self._person_at] not in fallen}, fallen

    def _store(self, connection: sqlite3.Connection, rows: dict[bytes, Row]) -> list[tuple[int, bytes]]:
        """Insert the rows whose key is new; their offsets and digests."""
        taken = known(connection, list(rows))
        last = state(connection)[0]
        stored = list(enumerate((digest for digest in rows if digest not in taken), start=last + 1))
        # Sorted keys touch the index page by page; in bulk that is several times faster.
        keys = sorted((digest, offset) for offset, digest in stored)
        connection.executemany("INSERT INTO keys VALUES (?, ?)", keys)
        connection.executemany(self._insert, ((offset, *rows[digest]) for offset, digest in stored))
        connection.execute("UPDATE state SET last_offset = ?", (last + len(stored),))
        return stored
