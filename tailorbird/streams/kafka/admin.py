"""Makes a topic as its address says, and describes it."""

from collections.abc import Mapping
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
    """What the cluster says of a topic: its id ("" where it gives none), partitions, and the bytes a message may have.

    ``risk`` says how acknowledged records may be lost, with the remedy; "" where nothing speaks for it.
    """

    identity: str
    partitions: int
    most_bytes: int
    risk: str = ""


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
    """What the cluster tells of a topic; one that tells nothing of itself is taken as it is.

    Raises:
        TailorbirdError: it compacts, which would keep only the newest record of a person.
    """
    kafka = load_client()
    from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

    admin = AdminClient(trouble.properties())
    wait = address.wait_seconds
    identity, replicas, most = "", 0, int(address.client.get("message.max.bytes", _MOST_BYTES))
    said: dict[str, str] = {}
    with suppress(kafka.KafkaException):
        asked = admin.describe_topics(kafka.TopicCollection([name]), request_timeout=wait)
        found = asked[name].result()
        identity, replicas = str(found.topic_id), min(len(part.replicas) for part in found.partitions)
    with suppress(kafka.KafkaException):
        resource = ConfigResource(ResourceType.TOPIC, name)
        values = admin.describe_configs([resource], request_timeout=wait)[resource].result()
        said = {each: str(entry.value) for each, entry in values.items()}
    if "compact" in (policy := said.get("cleanup.policy", "")):
        raise TailorbirdError(
            f"topic {name} has cleanup.policy = {policy!r}, which keeps only the newest record of each person",
            remedy="set cleanup.policy=delete on the topic; what it has compacted away is gone",
        )
    if (size := said.get("max.message.bytes", "")).isdigit():
        most = min(most, int(size))
    return Described(identity, partitions, max(1, most - _OVERHEAD_BYTES), risk(replicas, said))


def risk(replicas: int, said: Mapping[str, str]) -> str:
    """How a topic of so many ``replicas`` with the settings ``said`` may lose what it acknowledged; "" where it says nothing."""
    insync = said.get("min.insync.replicas", "")
    if replicas < 3 or not insync.isdigit() or int(insync) >= 2:
        return ""
    return (
        f"min.insync.replicas is {insync} with {replicas} replicas: a record may be acknowledged by one broker alone, and lost "
        "with it; set min.insync.replicas=2 on the topic"
    )
