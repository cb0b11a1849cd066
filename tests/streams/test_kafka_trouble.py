"""Brokers that are killed, move or show a wrong certificate: what was acknowledged stays, what is wrong is said."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tailorbird.errors import TailorbirdError
from tailorbird.streams.kafka.stream import KafkaStream
from tailorbird.streams.stream import StreamAwayError
from tests.certificates import Authority, tls_door
from tests.streams.brokers import Broker, free_port, machine
from tests.streams.embedded import event
from tests.streams.laws import journey


@pytest.fixture
def durable(kafka_storage: dict[str, Any]) -> Iterator[Broker]:
    broker = Broker(**kafka_storage).start()
    yield broker
    broker.kill()


def ids(stream: KafkaStream[Any]) -> list[str]:
    return sorted(entry.record.message_id for entry in journey(stream, page=1_000))


def append_for_ever(
    stream: KafkaStream[Any], stop: threading.Event, acknowledged: list[str], refused: list[str]
) -> None:
    """Appends event after event, each again until it is acknowledged."""
    number = 0
    while not stop.is_set():
        batch = [event(each) for each in range(number, number + 5)]
        try:
            stream.append(batch)
        except StreamAwayError as error:
            refused.append(str(error))
            time.sleep(0.1)
            continue
        acknowledged += [each.message_id for each in batch]
        number += 5


def test_a_broker_that_is_killed_and_comes_back_costs_no_acknowledged_record(
    durable: Broker, tmp_path: Path
) -> None:
    acknowledged: list[str] = []
    refused: list[str] = []
    stop = threading.Event()
    with machine(durable.url(wait_seconds=2), tmp_path) as stream:
        stream.append([event(0)])
        worker = threading.Thread(target=append_for_ever, args=(stream, stop, acknowledged, refused))
        worker.start()
        try:
            for _ in range(2):
                wait_for_more(acknowledged)
                durable.kill()
                wait_for_more(refused)
                durable.start()
            wait_for_more(acknowledged)
        finally:
            stop.set()
            worker.join(timeout=30)
        assert "start the broker" in refused[0]
        assert ids(stream) == sorted(set(acknowledged))


def wait_for_more(what: list[str], *, more: int = 1, seconds: float = 30.0) -> None:
    wanted, deadline = len(what) + more, time.monotonic() + seconds
    while len(what) < wanted:
        assert time.monotonic() < deadline, "nothing happens any more"
        time.sleep(0.02)


def test_a_partition_that_moves_to_another_broker_is_followed(
    durable: Broker, kafka_storage: dict[str, Any], tmp_path: Path
) -> None:
    other = Broker(**kafka_storage)
    url = durable.url().replace("kafka://", f"kafka://127.0.0.1:{other.port},")
    with machine(url, tmp_path, "one") as one, machine(url, tmp_path, "two") as two:
        one.append([event(number) for number in range(10)])
        assert len(ids(two)) == 10
        durable.kill()
        other.start()
        try:
            append_until_stored(one, [event(number) for number in range(10, 20)])
            assert ids(two) == ids(one)
        finally:
            other.kill()
        durable.start()
        append_until_stored(one, [event(number) for number in range(20, 30)])
        assert ids(two) == ids(one) == sorted(f"m{number}" for number in range(30))


def append_until_stored(stream: KafkaStream[Any], records: list[Any]) -> None:
    for _ in range(20):
        try:
            stream.append(records)
        except StreamAwayError:
            continue
        return
    raise AssertionError("the records were never stored")


def test_a_topic_that_was_made_anew_is_refused(tmp_path: Path) -> None:
    broker = Broker().start()  # in memory: a restart forgets every topic
    try:
        url = broker.url()
        with machine(url, tmp_path) as stream:
            stream.append([event(number) for number in range(10)])
            broker.kill()
            broker.start()
            with pytest.raises(TailorbirdError):
                stream.append([event(11)])
        said = "is gone, and this workspace holds|was deleted and made anew"  # brokers may make topics by themselves
        with machine(url, tmp_path) as again, pytest.raises(TailorbirdError, match=said):
            again.append([event(11)])
        with machine(url, tmp_path, "new") as new:
            new.append([event(12)])
        with machine(url, tmp_path) as again, pytest.raises(TailorbirdError, match="deleted and made anew"):
            again.append([event(11)])
    finally:
        broker.kill()


def test_a_broker_is_believed_by_its_certificate_only(tmp_path: Path) -> None:
    ours, other = Authority.make(tmp_path, "ours"), Authority.make(tmp_path, "other")
    good = ours.sign(tmp_path, host="127.0.0.1")
    expired = ours.sign(tmp_path, host="127.0.0.1", ends_in_days=-1)
    cases = {
        "good": (good, ours, ""),
        "authority": (good, other, "certificate verify failed"),
        "name": (ours.sign(tmp_path, host="elsewhere.example"), ours, "certificate verify failed"),
        "date": (expired, ours, "certificate.*expired|verify failed"),
    }
    port = free_port()
    broker = Broker(advertised_port=port).start()
    try:
        for name, (certificate, authority, said) in cases.items():
            with (
                tls_door(port, certificate=certificate, to=broker.port),
                machine(broker.url(ca=authority.file, wait_seconds=2), tmp_path, name) as stream,
            ):
                if not said:
                    assert len(stream.append([event(1)]).entries) == 1
                    continue
                with pytest.raises(StreamAwayError, match=rf"(?s){said}.*check the options ca"):
                    stream.append([event(1)])
    finally:
        broker.kill()
