"""The doctor's look at Kafka: whether brokers answer and the topics are as they must be. Nothing is made."""

from collections.abc import Sequence

from tailorbird.doctor.finding import Finding
from tailorbird.settings import Settings
from tailorbird.streams.kafka.address import KafkaAddress
from tailorbird.streams.kafka.topic import Topic


def check_kafka(settings: Settings) -> Sequence[Finding]:
    """Ask the cluster for both topics; one that is missing is made by the first append."""
    address = KafkaAddress.parse(settings.events, password=settings.events_password)
    return [look_at(address, address.topic(settings.workspace, name)) for name in ("events", "exposures")]


def look_at(address: KafkaAddress, name: str) -> Finding:
    """What the cluster says of one topic."""
    topic = Topic(name, address)
    points_at = f"kafka://{address.servers}, topic {name}"
    try:
        described = topic.describe(create=False)
        if described is None:
            return Finding("events", points_at, "ok", "is not there yet; the first append makes it")
        starts, ends = topic.starts(), topic.ends()
    finally:
        topic.close()
    held = sum(ends[part] - starts[part] for part in ends)
    facts = {"partitions": described.partitions, "held": held, "most_bytes": described.most_bytes}
    state = "warning" if described.risk or described.partitions != address.partitions else "ok"
    used = (
        f"{address.partitions} of {described.partitions} partitions are used, holding about {held:,} records"
    )
    says = "; ".join(each for each in (used, described.risk) if each)
    return Finding("events", points_at, state, says, facts=facts)  # type: ignore[arg-type]
