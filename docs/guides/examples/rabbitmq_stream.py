"""A third engine as an example: a stream in a RabbitMQ stream queue (3.9 and later), read through a mirror as Kafka's is.

One queue is one partition, kept for ever. ``tailorbird.streams.factory`` is where an engine gets its scheme.
"""

import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import pika
import pyarrow as pa
from pika.exceptions import AMQPError

from tailorbird.errors import UsageError
from tailorbird.streams.codec import Codec, Row
from tailorbird.streams.kafka.mirror import Found, Mark, Mirror
from tailorbird.streams.kafka.part import MirrorPart
from tailorbird.streams.kafka.wire import PoisonError, Wire
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

Record = TypeVar("Record")
AT_ONCE, MOST_BYTES = 1_000, 1_000_000


class RabbitStream(Generic[Record]):
    """Publishes with confirms, then reads up to a mark of its own: so it knows where everything before the mark stands."""

    def __init__(
        self,
        url: str,
        queue: str,
        codec: Codec[Record],
        *,
        mirror: Path,
        archive: Path,
        refuses: Refuses = nobody,
    ) -> None:
        self.codec, self._url, self._queue, self._refuses = codec, url, queue, refuses
        self._wire, self._turn = Wire(codec), threading.Lock()
        self._mirror = Mirror(mirror, codec, partitions=1)
        self._mirror.begin(queue, {0: Mark(-1, -1, -1)})
        self._part = MirrorPart(self._mirror, 0, archive=archive, source=queue)

    def append(self, records: Sequence[Record]) -> Appended[Record]:
        first: dict[bytes, tuple[Row, Record]] = {}
        for record in records:
            row = self.codec.to_row(record)
            first.setdefault(self.codec.digest(str(row[self.codec.key_at])), (row, record))
        stored, fallen = self._store({digest: row for digest, (row, _) in first.items()})
        entries = [
            Entry(0, stored[digest], record) for digest, (_, record) in first.items() if digest in stored
        ]
        refused = [each for each in records if self._wire.person_of(self.codec.to_row(each)) in fallen]
        return Appended(entries, len(records) - len(entries) - len(refused), refused)

    def append_table(
        self, table: pa.Table, *, on_rows: Callable[[int], object] = lambda rows: None
    ) -> Loaded:
        stored = refused = 0
        for start in range(0, len(table), AT_ONCE):
            chunk = table.slice(start, AT_ONCE)
            rows: dict[bytes, Row] = {}
            for row in self.codec.rows_of_table(chunk):
                rows.setdefault(self.codec.digest(str(row[self.codec.key_at])), row)
            placed, fallen = self._store(rows)
            stored += len(placed)
            refused += sum(self._wire.person_of(row) in fallen for row in self.codec.rows_of_table(chunk))
            on_rows(len(chunk))
        return Loaded(stored, len(table) - stored - refused, refused)

    def read(self, after: Position, *, limit: int = 10_000) -> Chunk[Record]:
        if limit < 0:
            raise UsageError(f"read(limit={limit})", remedy="give a number from 0 on")
        if limit:
            self._exchange([])
        last, rows = self._mirror.marks()[0].last, self._part.read(after[0], limit=limit)
        entries = [Entry(0, int(row[0]), self.codec.from_row(row[1:])) for row in rows]
        reached = after.advanced(0, last) if len(rows) < limit and last >= 0 else after
        return Chunk(entries, reached.advanced(0, entries[-1].offset) if entries else reached)

    def scan(
        self,
        *,
        columns: Sequence[str] | None = None,
        where: Sequence[Condition] = (),
        after: Position = BEGINNING,
        through: Position | None = None,
    ) -> Iterator[pa.RecordBatch]:
        end = self.end() if through is None else through
        yield from self._part.scan(columns=columns, where=where, after=after[0], through=end[0])

    def end(self) -> Position:
        self._exchange([])
        last = self._mirror.marks()[0].last
        return Position({0: last}) if last >= 0 else BEGINNING

    def lag(self, after: Position) -> int:
        return max(0, self.end()[0] - after[0])

    def find(self, key: str) -> Record | None:
        for _ in range(2):
            place = self._mirror.places([self.codec.digest(key)]).get(self.codec.digest(key), {}).get(0)
            row = None if place is None else self._part.at(place)
            if row is not None and row[1 + self.codec.key_at] == key:
                return self.codec.from_row(row[1:])
            self._exchange([])
        return None

    def forget(self, user_key: str) -> int:
        return self.forget_all([user_key]).get(user_key, 0)

    def forget_all(self, user_keys: Collection[str]) -> Mapping[str, int]:
        self._exchange([])
        gone = self._mirror.count_of(user_keys)
        self._exchange([(b"", {"forgets": key}) for key in user_keys])
        erasures = self._mirror.erasures()
        gone += self._part.archive.forget_all({each.person: each.offset for each in erasures})
        self._mirror.erased(erasures)
        return gone

    def close(self) -> None:
        self._mirror.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _store(self, rows: Mapping[bytes, Row]) -> tuple[dict[bytes, int], AbstractSet[str]]:
        """Publish the rows whose key is new; the offsets of those that are the first of their key, and who was refused."""
        fallen = self._refuses({self._wire.person_of(row) for row in rows.values()})
        rows = {key: row for key, row in rows.items() if self._wire.person_of(row) not in fallen}
        known = self._mirror.places(rows)
        fresh = {digest: row for digest, row in rows.items() if digest not in known}
        before = self._mirror.marks()[0].followed
        if fresh:
            self._exchange([(self._wire.encode(row, most_bytes=MOST_BYTES), {}) for row in fresh.values()])
        places = self._mirror.places(fresh)
        return {digest: places[digest][0] for digest in fresh if places[digest][0] > before}, fallen

    def _exchange(self, messages: Sequence[tuple[bytes, dict[str, str]]]) -> None:
        """Publish the messages and a mark, then take in what the queue holds up to the mark."""
        mark = uuid.uuid4().hex
        with self._turn, self._channel() as channel:
            for body, headers in [*messages, (b"", {"mark": mark})]:
                properties = pika.BasicProperties(delivery_mode=2, headers=headers)
                channel.basic_publish("", self._queue, body, properties, mandatory=True)
            after, found = self._mirror.marks()[0].followed, list[Found]()
            start = {"x-stream-offset": after + 1}
            for method, properties, body in channel.consume(
                self._queue, arguments=start, inactivity_timeout=5.0
            ):
                if method is None:
                    raise StreamAwayError(f"queue {self._queue} does not answer", remedy="try again")
                channel.basic_ack(method.delivery_tag)
                found.append(self._found(properties.headers, body))
                if properties.headers.get("mark") == mark:
                    break
            self._mirror.absorb({0: found}, {0: found[-1].offset}, after={0: after})

    def _found(self, headers: dict[str, Any], body: bytes) -> Found:
        offset = headers["x-stream-offset"]
        if not body:
            return Found(offset, forgets=headers.get("forgets", ""))
        try:
            return Found(offset, self._wire.decode(body))
        except PoisonError as error:
            return Found(offset, fault=str(error))

    @contextmanager
    def _channel(self) -> Iterator[Any]:
        self._mirror.marks()  # a stream that is closed says so
        try:
            connection = pika.BlockingConnection(pika.URLParameters(self._url))
            try:
                channel = connection.channel()
                channel.confirm_delivery()
                channel.queue_declare(self._queue, durable=True, arguments={"x-queue-type": "stream"})
                channel.basic_qos(prefetch_count=AT_ONCE)
                yield channel
            finally:
                if connection.is_open:
                    connection.close()
        except (AMQPError, OSError) as error:
            raise StreamAwayError(f"queue {self._queue}: {error!r}", remedy="start RabbitMQ") from error
