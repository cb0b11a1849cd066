"""Sends messages to a topic and waits until every in-sync replica has them."""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from tailorbird.streams.kafka.topic import Topic
from tailorbird.streams.kafka.trouble import Trouble, load_client

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

_LATE_SECONDS = 2.0


class Outgoing(NamedTuple):
    """One message; without a ``value`` it asks to forget the person that is its ``key``."""

    partition: int
    key: bytes
    value: bytes | None


@dataclass(frozen=True)
class Sent:
    """The offset of each message, None where none is known; ``failure`` says why, and whether sending again can help."""

    offsets: Sequence[int | None]
    failure: Exception | None


class Sender:
    """An idempotent producer, made at the first use. One thread at a time."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic
        self._trouble = Trouble(topic.address, topic.name)
        self._made: Any = None

    def prepare(self) -> None:
        """Make the producer, which meets the brokers by itself; what is wrong with its settings is for :meth:`send` to say."""
        with contextlib.suppress(load_client().KafkaException):
            self._producer()

    def send(self, messages: Sequence[Outgoing]) -> Sent:
        """Send them all, in their order within a partition."""
        if not messages:
            return Sent([], None)
        producer = self._producer()
        heard = _Heard(len(messages))
        sent = self._hand_over(producer, messages, heard)
        # The client reports on each message after wait_seconds at the latest, by its own clock.
        given_up = time.monotonic() + self._topic.address.wait_seconds + _LATE_SECONDS
        while heard.count < sent and time.monotonic() < given_up:
            producer.poll(0.1)
        if None not in heard.offsets:
            self._trouble.forget()
            return Sent(heard.offsets, None)
        # What it may have sent is not known to have arrived: a new producer begins with a clean slate, whatever this one does.
        self._drop()
        stored = len(messages) - heard.offsets.count(None)
        cause = heard.failures[0] if heard.failures else None
        failure = self._trouble.error(f"{stored} of {len(messages)} records are known to be stored", cause)
        return Sent(heard.offsets, failure)

    def _hand_over(self, producer: Any, messages: Sequence[Outgoing], heard: "_Heard") -> int:
        """Give the messages to the client, as fast as it takes them; how many it took."""
        kafka = load_client()
        for place, (partition, key, value) in enumerate(messages):
            while not heard.failures:
                try:
                    producer.produce(
                        self._topic.name, value, key, partition=partition, on_delivery=heard.listener(place)
                    )
                    break
                except BufferError:
                    producer.poll(0.01)  # the client's queue is full: some must go first
                except kafka.KafkaException as error:
                    heard.failures.append(error.args[0])
            if heard.failures:
                return place
            if not place % 1_000:
                producer.poll(0)
        return len(messages)

    def close(self) -> None:
        """Let the producer go."""
        self._drop()

    def _drop(self) -> None:
        if self._made is not None:
            self._made.purge()  # nothing of what was refused may be stored later
            self._made.poll(0)
            self._made = None

    def _producer(self) -> Any:
        if self._made is None:
            wait_ms = round(self._topic.address.wait_seconds * 1000)
            self._made = load_client().Producer(
                {
                    "compression.type": "lz4",
                    "linger.ms": 1,
                    **self._trouble.properties(),
                    "enable.idempotence": True,
                    "acks": "all",
                    "message.timeout.ms": wait_ms,
                    "request.timeout.ms": max(500, wait_ms - 500),
                    "queue.buffering.max.messages": 200_000,
                }
            )
        return self._made


class _Heard:
    """What the client said of the messages that it was given."""

    def __init__(self, messages: int) -> None:
        self.offsets: list[int | None] = [None] * messages
        self.failures: list[KafkaError] = []
        self.count = 0

    def listener(self, place: int) -> "Callable[[KafkaError | None, Message], None]":
        def note(error: "KafkaError | None", message: "Message") -> None:
            self.count += 1
            if error is None:
                self.offsets[place] = message.offset()
            else:
                self.failures.append(error)

        return note
