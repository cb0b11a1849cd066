"""Makes a topic as its address says, and describes it."""

from contextlib import suppress
from dataclasses import dataclass

from tailorbird.errors import TailorbirdError
from tailorbird.streams.kafka.address import KafkaAddress
from tailorbird.streams.kafka.trouble import Trouble, load_client, log

_DAY_MS = 86_400_000
_MOST_BYTES = 1_000_000
_OVERHEAD_BYTES = 2_000
"""Left for the person's key and for what a batch says of itself."""


@dataclass(frozen=True)
class Described:
    """What the cluster says of a topic: its id ("" where it gives none), partitions, and the bytes a message may have."""

    identity: str
    partitions: int
    most_bytes: int


def create_topic(name: str, address: KafkaAddress, trouble: Trouble) -> None:
    """Make it as the address says; another process may be faster.

    Raises:
        TailorbirdError: it may not be made; StreamAwayError where no broker answers.
    """
    kafka = load_client()
    from confluent_kafka.admin import AdminClient, NewTopic

    retention_ms = round(address.retention_hours * 3_600_000)
    config = {
        "cleanup.policy": "delete",
        "retention.ms": str(retention_ms),
        # A segment that is written to is never dropped: without this a quiet topic keeps its records for ever.
        "segment.ms": str(min(_DAY_MS, max(retention_ms // 7, 600_000))),
    }
    if address.replication >= 3:
        config["min.insync.replicas"] = "2"
    topic = NewTopic(name, address.partitions, address.replication, config=config)
    admin = AdminClient(trouble.properties())
    wait = address.wait_seconds
    try:
        admin.create_topics([topic], operation_timeout=wait, request_timeout=wait)[name].result()
    except kafka.KafkaException as error:
        if error.args[0].code() == kafka.KafkaError.TOPIC_ALREADY_EXISTS:
            return  # another process was faster
        if error.args[0].code() < 0:
            raise trouble.error("cannot be made", error.args[0]) from error
        raise TailorbirdError(
            f"topic {name} at {address.servers} cannot be made: {error.args[0].str()}",
            remedy=f"make it with {address.partitions} partitions and the settings of docs/guides/kafka.md, or allow this user to",
        ) from error
    log.info("topic %s was made with %d partitions", name, address.partitions)


def described(name: str, address: KafkaAddress, trouble: Trouble, *, partitions: int) -> Described:
    """What the cluster tells of a topic; one that tells neither an id nor a size is taken as it is."""
    kafka = load_client()
    from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

    admin = AdminClient(trouble.properties())
    wait = address.wait_seconds
    identity, most = "", int(address.client.get("message.max.bytes", _MOST_BYTES))
    with suppress(kafka.KafkaException):
        asked = admin.describe_topics(kafka.TopicCollection([name]), request_timeout=wait)
        identity = str(asked[name].result().topic_id)
    with suppress(kafka.KafkaException):
        resource = ConfigResource(ResourceType.TOPIC, name)
        values = admin.describe_configs([resource], request_timeout=wait)[resource].result()
        if (size := values.get("max.message.bytes")) is not None and str(size.value).isdigit():
            most = min(most, int(size.value))
    return Described(identity, partitions, max(1, most - _OVERHEAD_BYTES))
