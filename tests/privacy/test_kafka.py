"""Erasure where the events are in Kafka: what another machine let in before it knew of the erasure goes, too."""

from pathlib import Path
from typing import Any

import pytest

from tailorbird.privacy.erasure.erasing import left_of
from tailorbird.settings import load_settings
from tailorbird.streams.factory import compact_stream, open_events
from tailorbird.streams.kafka.stream import KafkaStream
from tests.privacy.erasing_child import open_small
from tests.streams.brokers import Broker
from tests.streams.embedded import event


@pytest.fixture
def url(kafka: Broker) -> str:
    return kafka.url()


@pytest.mark.server
def test_a_record_that_was_on_its_way_is_found_and_erased(url: str, tmp_path: Path) -> None:
    here, there = (
        load_settings(home=tmp_path / name, mlruns=tmp_path / "mlruns", workspace="test", events=url)
        for name in ("here", "there")
    )
    with open_events(here) as log, open_events(there) as other:
        assert isinstance(other, KafkaStream)
        log.append([event(number) for number in range(9)])
        compact_stream(log)
        log.append([event(number) for number in range(9, 12)])
        waited: list[float] = []

        def sleep(seconds: float) -> None:
            waited.append(seconds)
            if len(waited) == 1:  # the other machine has not heard of the erasure
                other.append([event(100, user_id="user-1"), event(101, user_id="user-2")])

        clock: Any = iter(float(n) for n in range(1_000))
        erasing = open_small(here, settle_seconds=500.0, sleep=sleep, clock=lambda: next(clock))
        asked = erasing.ask("user:user-1")
        assert [each.message_id for each in log.append([event(40, user_id="user-1")]).refused] == ["m40"]
        assert erasing.run() == 1
        receipt = erasing.ledger.find(asked.id)
        assert receipt is not None
        assert receipt.place("events").found == 4  # type: ignore[union-attr]
        assert waited
        assert left_of(erasing.places, ["user:user-1"])["events"] == 0
        assert left_of(erasing.places, ["user:user-2"])["events"] == 5
        other.end()  # it takes in what the topic says since
        assert other.find("m100") is None
        assert other.find("m101") is not None
