"""The engine: a stream in a Kafka topic, keyed by person, read through the mirror of this machine."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, Self, TypeVar

import pyarrow as pa

from tailorbird.errors import UsageError
from tailorbird.plumbing.alone import alone
from tailorbird.plumbing.objects import ObjectPath
from tailorbird.streams.codec import Codec, Row
from tailorbird.streams.kafka.address import KafkaAddress
from tailorbird.streams.kafka.follower import Follower
from tailorbird.streams.kafka.mirror import Found, Mirror
from tailorbird.streams.kafka.part import MirrorPart
from tailorbird.streams.kafka.partitions import partition_of
from tailorbird.streams.kafka.seals import OVERHEAD, Plain, Seals
from tailorbird.streams.kafka.sender import Outgoing, Sender
from tailorbird.streams.kafka.topic import Topic
from tailorbird.streams.kafka.wire import Wire
from tailorbird.streams.position import BEGINNING, Position
from tailorbird.streams.stream import (
    Appended,
    Chunk,
    Condition,
    Entry,
    Loaded,
    Refuses,
    StreamAwayError,
    nobody,
)

BULK_ROWS = 20_000
PROBE_SECONDS = 0.5
"""How long health, and an append after a failure, wait to hear from brokers: callers should not queue for nothing."""

Record = TypeVar("Record")


class KafkaStream(Generic[Record]):
    """One stream. Nothing is asked of a broker until somebody needs it, so that a process starts while they are away.

    The mirror says which record of a key is the first: every append and every read brings it up to where they need it.
    """

    def __init__(
        self,
        address: KafkaAddress,
        topic: str,
        codec: Codec[Record],
        *,
        mirror: Path,
        archive: Path | ObjectPath,
        refuses: Refuses = nobody,
        seals: Seals | None = None,
    ) -> None:
        """With ``seals`` each record lies in the topic under its person's own key, but those of nobody; without, plainly."""
        self.path, self.codec, self._address, self._refuses = Path(mirror), codec, address, refuses
        self._wire, self._seals = Wire(codec), seals
        self._mirror = Mirror(self.path, codec, partitions=address.partitions)
        self._topic, self.identity = (
            Topic(topic, address),
            topic,
        )  # one made anew is refused, not taken for it
        self._parts = [
            MirrorPart(self._mirror, partition, archive=archive, source=topic)
            for partition in range(address.partitions)
        ]
        self._follower = Follower(self._topic, self._mirror, self._parts, self._wire, seals)
        self._sender = Sender(self._topic)
        self._appending = threading.Lock()
        self._doubtful = self._closed = False

    def append(self, records: Sequence[Record]) -> Appended[Record]:
        """Store records; all in-sync replicas have them when this returns. A known key is counted, not stored again."""
        first: dict[bytes, tuple[Row, Record]] = {}
        for record in records:
            row = self.codec.to_row(record)
            first.setdefault(self.codec.digest(str(row[self.codec.key_at])), (row, record))
        if not first:
            return Appended([], 0)
        stored, fallen = self._store({digest: row for digest, (row, _) in first.items()})
        entries = [
            Entry(*stored[digest], record) for digest, (_, record) in first.items() if digest in stored
        ]
        refused = (
            [each for each in records if self._wire.person_of(self.codec.to_row(each)) in fallen]
            if fallen
            else []
        )
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
            placed, fallen = self._store(rows)
            stored += len(placed)
            if fallen:
                refused += sum(self._wire.person_of(row) in fallen for row in self.codec.rows_of_table(chunk))
            on_rows(len(chunk))
        return Loaded(stored, len(table) - stored - refused, refused)

    def read(self, after: Position, *, limit: int = 10_000) -> Chunk[Record]:
        """Up to ``limit`` records past ``after``, archived ones included; empty at the end."""
        if limit < 0:
            raise UsageError(f"read(limit={limit})", remedy="give a number from 0 on")
        end = self.end() if limit else after  # the end first: what is read then has all up to there
        entries = self._page(after, limit)
        position = dict(after.offsets)
        for entry in entries:
            position[entry.partition] = entry.offset
        reached = Position(position)
        return Chunk(entries, reached.joined(end) if len(entries) < limit else reached)

    def scan(
        self,
        *,
        columns: Sequence[str] | None = None,
        where: Sequence[Condition] = (),
        after: Position = BEGINNING,
        through: Position | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Every record past ``after`` and up to ``through`` (the end as it is now) that meets all of ``where``, once."""
        if through is None:
            through = self.end()
        elif not self._follower.knows(through):
            self._follower.follow()
        for part in self._parts:
            yield from part.scan(
                columns=columns, where=where, after=after[part.partition], through=through[part.partition]
            )

    def end(self) -> Position:
        """The position of the newest record of each partition."""
        self._follower.follow()
        last = {partition: mark.last for partition, mark in self._mirror.marks().items()}
        return Position({partition: offset for partition, offset in last.items() if offset >= 0})

    def lag(self, after: Position) -> int:
        """How many records at most lie past ``after`` (holes count)."""
        end = self.end()
        return sum(max(0, end[partition] - after[partition]) for partition in end)

    def find(self, key: str) -> Record | None:
        """The record with this key; brokers are asked only where this machine does not know it."""
        found = self._found(key)
        if found is None:
            self._follower.follow()
            found = self._found(key)
        return found

    def forget(self, user_key: str) -> int:
        """Delete every record of a person here and in the archive; how many they were. Their keys stay taken.

        Other machines delete theirs when they next read. The topic holds the bytes until its retention drops them.
        """
        return self.forget_all([user_key]).get(user_key, 0)

    def forget_all(self, user_keys: Collection[str]) -> Mapping[str, int]:
        """As :meth:`forget`, of many people in one pass over the archive; those who had records, and how many."""
        partitions = self._address.partitions
        with alone(self.archive_lock):  # nothing moves to the archive meanwhile
            self._follower.follow(erase=False)
            gone = self._mirror.count_of(user_keys)
            asked = [Outgoing(partition_of(key, partitions), key.encode(), None) for key in sorted(user_keys)]
            with self._turn():
                sent = self._sender.send(asked)
            if sent.failure is not None:
                raise sent.failure
            self._follower.follow(erase=False)
            archived = self._follower.erase()
            gone.update({key: archived[key] for key in user_keys if archived[key]})
            self._mirror.purge()
        return gone

    def close(self) -> None:
        """Leave the brokers and release the mirror; closing twice is fine."""
        self._closed = True
        with self._appending:
            self._sender.close()
        self._topic.close()
        self._mirror.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def probe(self) -> None:
        """Raise StreamAwayError where no broker answers within half a second."""
        self._mirror.marks()  # a stream that is closed says so
        self._topic.probe(wait_seconds=PROBE_SECONDS)

    def announce_appends(self) -> None:
        """Have the producer meet the brokers and get its id, which takes up to a second, before somebody waits for it."""
        with self._turn():
            self._sender.prepare()

    @property
    def set_aside(self) -> int:
        """How many messages of the topic are no records and were left out."""
        return self._mirror.faults()

    # What compaction asks for.

    @property
    def parts(self) -> Sequence[MirrorPart[Record]]:
        """The partitions, each with its archive."""
        return self._parts

    @property
    def archive_lock(self) -> Path:
        """Held by the one who changes the archive."""
        return self._follower.archive_lock

    def live(self) -> int:
        """How many records at most are not compacted."""
        self._follower.follow()
        return self._mirror.live()

    def finish_move(self) -> None:
        """Take in what the topic has, forget in the archive whom the topic forgot, drop what is archived already."""
        self._follower.follow(erase=False)
        self._follower.erase()
        for part in self._parts:
            part.drop_through(part.archive.through())

    def shrink(self) -> None:
        """Give the disk back what was dropped."""
        self._mirror.shrink()

    def purge(self) -> None:
        """As :meth:`shrink`, and let go of every older state of the mirror. Raises StreamAwayError."""
        self._mirror.purge()

    def _store(self, rows: Mapping[bytes, Row]) -> tuple[dict[bytes, tuple[int, int]], AbstractSet[str]]:
        """Send the rows whose key is new; the places of those that are the first of their key, and who was refused."""
        with self._turn():
            fallen = self._refuses({self._wire.person_of(row) for row in rows.values()})
            if fallen:
                rows = {key: row for key, row in rows.items() if self._wire.person_of(row) not in fallen}
            if self._doubtful:
                self._topic.probe(wait_seconds=PROBE_SECONDS)
            most_bytes = self._follower.prepare().most_bytes
            known = self._mirror.places(rows)
            after = {partition: mark.followed for partition, mark in self._mirror.marks().items()}
            fresh = {digest: row for digest, row in rows.items() if digest not in known}
            messages = self._outgoing(fresh, most_bytes)
            self._doubtful = True
            sent = self._sender.send(messages)
            stored: dict[bytes, tuple[int, int]] = {}
            own: dict[int, list[Found]] = {}
            for (digest, row), message, offset in zip(fresh.items(), messages, sent.offsets, strict=True):
                if offset is not None:
                    stored[digest] = (message.partition, offset)
                    own.setdefault(message.partition, []).append(Found(offset, row))
            self._follower.take_in(own, after=after)
            if sent.failure is not None:
                raise sent.failure
            self._doubtful = False
        first = self._mirror.places(stored)
        return {
            digest: (partition, offset)
            for digest, (partition, offset) in stored.items()
            if first.get(digest, {}).get(partition) == offset
        }, fallen

    def _outgoing(self, rows: Mapping[bytes, Row], most_bytes: int) -> list[Outgoing]:
        """The messages of rows, by the digests of their keys."""
        if self._seals is not None:
            most_bytes -= OVERHEAD
        values = {digest: self._wire.encode(row, most_bytes=most_bytes) for digest, row in rows.items()}
        people = {digest: self._wire.person_of(row) for digest, row in rows.items()}
        if self._seals is not None:
            plain = [
                Plain(people[digest], digest, values[digest])
                for digest, row in rows.items()
                if not self._wire.is_nobodys(row)
            ]
            sealed = self._seals.sealed(plain)
            values |= {each.digest: value for each, value in zip(plain, sealed, strict=True)}
        partitions = self._address.partitions
        return [
            Outgoing(partition_of(person, partitions), person.encode(), values[digest])
            for digest, person in people.items()
        ]

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One append at a time."""
        if not self._appending.acquire(timeout=self._address.wait_seconds):
            raise StreamAwayError(
                f"topic {self._topic.name}: the appends before are not getting on", remedy="try again"
            )
        try:
            if self._closed:
                raise StreamAwayError(
                    f"topic {self._topic.name}: the stream is closed", remedy="open the stream again"
                )
            yield
        finally:
            self._appending.release()

    def _page(self, after: Position, limit: int) -> list[Entry[Record]]:
        """The partition that lags most comes first, so that a reader gets on in all of them."""
        entries: list[Entry[Record]] = []
        for part in sorted(self._parts, key=lambda part: after[part.partition]):
            for row in part.read(after[part.partition], limit=limit - len(entries)):
                entries.append(Entry(part.partition, int(row[0]), self.codec.from_row(row[1:])))  # type: ignore[call-overload]
        return entries

    def _found(self, key: str) -> Record | None:
        digest = self.codec.digest(key)
        for partition, offset in sorted(self._mirror.places([digest]).get(digest, {}).items()):
            row = self._parts[partition].at(offset)
            if row is not None and row[1 + self.codec.key_at] == key:
                return self.codec.from_row(row[1:])
        return None
