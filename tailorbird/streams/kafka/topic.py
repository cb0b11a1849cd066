"""One topic as its readers see it: whether it is there and as it must be, where it begins and ends, what it holds."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from tailorbird.errors import TailorbirdError
from tailorbird.streams.kafka.address import KafkaAddress
from tailorbird.streams.kafka.admin import Described, create_topic, described
from tailorbird.streams.kafka.trouble import Trouble, load_client, log

AT_ONCE = 5_000
_TURN_SECONDS = 0.05
_AGAIN_SECONDS = 0.02
_REST_PAGES = 10
_STALE = (
    "_UNKNOWN_PARTITION",
    "_UNKNOWN_TOPIC",
    "UNKNOWN_TOPIC_OR_PART",
    "LEADER_NOT_AVAILABLE",
    "NOT_LEADER_FOR_PARTITION",
)
_OUT_OF_RANGE = ("_AUTO_OFFSET_RESET", "OFFSET_OUT_OF_RANGE")
_END, _BEGINNING = -1, -2


class Message(NamedTuple):
    """One message as it lies in the topic."""

    partition: int
    offset: int
    key: bytes
    value: bytes | None


class Page(NamedTuple):
    """Messages by partition, in their order, and the offset that each partition was read up to."""

    messages: Mapping[int, Sequence[Message]]
    reached: Mapping[int, int]


class DroppedError(TailorbirdError):
    """Retention has dropped records before this machine took them."""


class Topic:
    """A topic and a consumer of our own, in no group: positions are kept by those who read."""

    def __init__(self, name: str, address: KafkaAddress) -> None:
        self.name, self.address = name, address
        self._trouble = Trouble(address, name)
        self._using = threading.Lock()
        self._made: Any = None

    def describe(self, *, create: bool) -> Described | None:
        """What it is like; made where it is not there and ``create`` says so, else None.

        Raises:
            TailorbirdError: it may not be made, compacts, or has too few partitions; StreamAwayError where no broker answers.
        """
        with self._using:
            found = self._partitions()
            if found is None and create:
                create_topic(self.name, self.address, self._trouble)
                found = self._appeared()
            if found is None:
                return None
            wanted = self.address.partitions
            if found < wanted:
                raise TailorbirdError(
                    f"topic {self.name} has {found} partitions, the setting events says {wanted}",
                    remedy=f"set partitions={found} in TAILORBIRD_EVENTS before the first record, or add partitions",
                )
            if found > wanted:
                log.warning(
                    "topic %s has %d partitions; the first %d are used, as the setting events says: a person's records stay "
                    "where they are",
                    self.name,
                    found,
                    wanted,
                )
            said = described(self.name, self.address, self._trouble, partitions=found)
            if said.risk:
                log.warning("topic %s: %s", self.name, said.risk)
            return said

    def probe(self, *, wait_seconds: float) -> None:
        """Raise StreamAwayError where no broker answers within ``wait_seconds``."""
        with self._using:
            self._refresh(wait_seconds=wait_seconds)

    def ends(self) -> dict[int, int]:
        """The offset that comes next in each partition."""
        return self._offsets(_END)

    def starts(self) -> dict[int, int]:
        """The oldest offset that each partition still holds."""
        return self._offsets(_BEGINNING)

    def pages(self, starts: Mapping[int, int], throughs: Mapping[int, int]) -> Iterator[Page]:
        """Messages from ``starts`` on until ``throughs`` (included) are reached, and what came with them.

        Raises:
            StreamAwayError: no broker answers; what was given until then counts.
            DroppedError: retention has dropped what was asked for.
        """
        with self._assigned(starts) as consumer:
            reached: Mapping[int, int] = {partition: start - 1 for partition, start in starts.items()}
            given_up = time.monotonic() + self.address.wait_seconds
            while lacking := sum(max(0, throughs[part] - reached[part]) for part in reached):
                page = self._page(consumer, min(lacking, AT_ONCE), reached)
                if page.reached != reached:
                    self._trouble.forget()
                    given_up = time.monotonic() + self.address.wait_seconds
                    reached = page.reached
                    yield page
                elif time.monotonic() > given_up:
                    raise self._trouble.error("cannot be read")
            # Some brokers give the beginning of the last batch as a topic's end: what came with it is here already.
            for _ in range(_REST_PAGES):
                rest = self._page(consumer, AT_ONCE, reached, wait_seconds=0)
                if rest.reached == reached:
                    break
                reached = rest.reached
                yield rest

    def reaches(self, partition: int, offset: int) -> bool:
        """Whether a partition holds, or held, everything up to ``offset``: asked of the log itself, which takes a moment."""
        with self._assigned({partition: offset + 1}) as consumer:
            given_up = time.monotonic() + self.address.wait_seconds
            while time.monotonic() < given_up:
                for message in consumer.consume(1, timeout=_TURN_SECONDS):
                    error = message.error()
                    if error is None or error.name() == "_PARTITION_EOF":
                        return bool(message.offset() > offset)
                    if error.name() in _OUT_OF_RANGE:
                        return False
        raise self._trouble.error("does not say where it ends")

    def close(self) -> None:
        """Leave the brokers; closing twice is fine."""
        with self._using:
            if self._made is not None:
                self._made.close()
                self._made = None

    @contextmanager
    def _assigned(self, starts: Mapping[int, int]) -> Iterator[Any]:
        """The consumer, at these offsets; it asks brokers for nothing once the block ends."""
        kafka = load_client()
        with self._using:
            consumer = self._consumer()
            consumer.assign([kafka.TopicPartition(self.name, part, start) for part, start in starts.items()])
            try:
                yield consumer
            finally:
                consumer.unassign()

    def _page(
        self, consumer: Any, count: int, reached: Mapping[int, int], *, wait_seconds: float = _TURN_SECONDS
    ) -> Page:
        found: dict[int, list[Message]] = {}
        last = dict(reached)
        for message in consumer.consume(count, timeout=wait_seconds):
            part, offset, error = message.partition(), message.offset(), message.error()
            if error is None:
                if offset > last[part]:
                    key, value = message.key() or b"", message.value()
                    found.setdefault(part, []).append(Message(part, offset, key, value))
                    last[part] = offset
            elif error.name() == "_PARTITION_EOF":
                last[part] = max(last[part], offset - 1)  # holes of the broker's own, up to the end
            elif error.name() in _OUT_OF_RANGE:
                raise self.dropped(part, reached[part] + 1)
            else:
                self._trouble.note(error)
        return Page(found, last)

    def dropped(self, partition: int, offset: int) -> DroppedError:
        """The error that says that records from ``offset`` on were dropped before anybody here had them."""
        return DroppedError(
            f"topic {self.name}, partition {partition}: retention has dropped records from offset {offset} on which neither "
            "this workspace nor its archive holds",
            remedy="restore the archive from a copy, or from another machine; give the topic a longer retention_hours",
        )

    def _offsets(self, which: int) -> dict[int, int]:
        kafka = load_client()
        asked = [kafka.TopicPartition(self.name, part, which) for part in range(self.address.partitions)]
        given_up = time.monotonic() + self.address.wait_seconds
        with self._using:
            consumer = self._consumer()
            while True:
                left = max(0.05, given_up - time.monotonic())
                try:
                    found = consumer.offsets_for_times(asked, timeout=left)
                    wrong = next((each.error for each in found if each.error is not None), None)
                    if wrong is None:
                        self._trouble.forget()
                        return {each.partition: each.offset for each in found}
                    raise kafka.KafkaException(wrong)
                except kafka.KafkaException as error:
                    if error.args[0].name() not in _STALE or time.monotonic() >= given_up:
                        raise self._failed("does not answer", error) from error
                    self._refresh(wait_seconds=left)
                    time.sleep(_AGAIN_SECONDS)

    def _refresh(self, *, wait_seconds: float) -> None:
        """Ask again who leads the partitions: what the client remembers of an outage outlasts it."""
        kafka = load_client()
        try:
            self._consumer().list_topics(self.name, timeout=wait_seconds)
        except kafka.KafkaException as error:
            raise self._failed("does not answer", error) from error

    def _partitions(self) -> int | None:
        """How many partitions the topic has; None where there is no such topic."""
        kafka = load_client()
        try:
            listed = self._consumer().list_topics(self.name, timeout=self.address.wait_seconds)
        except kafka.KafkaException as error:
            raise self._failed("does not answer", error) from error
        topic = listed.topics[self.name]
        if topic.error is None:
            return len(topic.partitions)
        if topic.error.code() == kafka.KafkaError.UNKNOWN_TOPIC_OR_PART:
            return None
        raise self._trouble.error("cannot be described", topic.error)

    def _appeared(self) -> int:
        """How many partitions a topic has that was just made: not every broker knows at once."""
        given_up = time.monotonic() + self.address.wait_seconds
        while (found := self._partitions()) is None:
            if time.monotonic() > given_up:
                raise self._trouble.error("was made and does not appear")
            time.sleep(_AGAIN_SECONDS)
        return found

    def _failed(self, what: str, error: Any) -> TailorbirdError:
        if self._made is not None:
            self._made.poll(0)  # hears what the client has to say of its brokers
        return self._trouble.error(what, error.args[0])

    def _consumer(self) -> Any:
        if self._made is None:
            self._made = load_client().Consumer(
                {
                    **self._trouble.properties(),
                    "group.id": "tailorbird",  # the client wants one; nothing is ever committed to it
                    "enable.auto.commit": False,
                    "enable.auto.offset.store": False,
                    "enable.partition.eof": True,
                    "auto.offset.reset": "error",
                    "isolation.level": "read_committed",
                    "allow.auto.create.topics": False,
                    "queued.max.messages.kbytes": 32_768,
                }
            )
        return self._made
