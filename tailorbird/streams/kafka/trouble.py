"""What the client says of trouble with its brokers, as errors with remedies."""

import logging
from typing import TYPE_CHECKING, Any

from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.streams.kafka.address import KafkaAddress
from tailorbird.streams.stream import StreamAwayError

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

log = logging.getLogger("tailorbird.kafka")


def load_client() -> Any:
    """The module of the client library. Raises UsageError where it is not installed."""
    try:
        import confluent_kafka
    except ImportError as error:
        raise UsageError(
            "the engine kafka needs the package confluent-kafka, which is not installed",
            remedy="pip install 'tailorbird[kafka]'",
        ) from error
    return confluent_kafka


class Trouble:
    """Remembers what a client said last of its brokers, since its calls only say that they took too long."""

    def __init__(self, address: KafkaAddress, topic: str) -> None:
        self._address, self._topic = address, topic
        self._last: KafkaError | None = None

    def properties(self) -> dict[str, Any]:
        """What every client of the topic is made with."""
        return {
            **self._address.client,
            "bootstrap.servers": self._address.servers,
            "error_cb": self.note,
            "log_level": 2,
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 500,
            "socket.connection.setup.timeout.ms": 2_000,
            "topic.metadata.refresh.interval.ms": 60_000,
        }

    def note(self, error: "KafkaError") -> None:
        """Remember ``error``, unless a more telling one is known."""
        if self._last is None or _tells(error) >= _tells(self._last):
            self._last = error

    def forget(self) -> None:
        """All is well again."""
        self._last = None

    def error(self, what: str, error: "KafkaError | None" = None) -> TailorbirdError:
        """What to raise: ``what`` could not be done, because of ``error`` or of what was noted."""
        if error is not None:
            self.note(error)
        cause = self._last
        said = f": {cause.str()}" if cause is not None else ""
        return StreamAwayError(
            f"topic {self._topic} at {self._address.servers}: {what}{said}",
            remedy=_remedy(cause.name() if cause is not None else ""),
        )


def _tells(error: "KafkaError") -> int:
    """How much an error says: one of a broker's door more than that all are away."""
    return 0 if error.name() in ("_TRANSPORT", "_TIMED_OUT", "_ALL_BROKERS_DOWN", "_MSG_TIMED_OUT") else 1


def _remedy(name: str) -> str:
    if name == "_SSL":
        return "check the options ca, cert and key of the setting events, the broker's host name and its certificate's dates"
    if "AUTHENTICATION" in name or "SASL" in name:
        return "check the options sasl and user of the setting events, and TAILORBIRD_EVENTS_PASSWORD"
    if "AUTHORIZATION" in name:
        return "allow this user to read, write, describe and create the topic"
    if name == "_RESOLVE":
        return "check the host names in TAILORBIRD_EVENTS"
    if name in ("NOT_ENOUGH_REPLICAS", "NOT_ENOUGH_REPLICAS_AFTER_APPEND"):
        return (
            "bring the missing brokers back: fewer replicas are in sync than the topic's min.insync.replicas"
        )
    return "start the broker or correct TAILORBIRD_EVENTS; the clients try again by themselves"
