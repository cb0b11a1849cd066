"""A topic is the truth: whoever follows it, from wherever, knows the same records, each key once."""

import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.settings import load_settings
from tailorbird.streams.compaction import compact
from tailorbird.streams.factory import open_events
from tailorbird.streams.kafka import admin, health
from tailorbird.streams.kafka.address import KafkaAddress
from tailorbird.streams.kafka.admin import risk
from tailorbird.streams.kafka.partitions import murmur2, partition_of
from tailorbird.streams.kafka.stream import KafkaStream
from tailorbird.streams.kafka.topic import Topic
from tailorbird.streams.position import BEGINNING, Position
from tailorbird.streams.stream import StreamAwayError
from tests.streams.brokers import Broker, machine
from tests.streams.embedded import event
from tests.streams.laws import journey


@pytest.fixture
def url(kafka: Broker) -> str:
    return kafka.url()


def found(stream: KafkaStream[Any]) -> dict[str, tuple[int, int]]:
    entries = journey(stream, page=7)
    places = {entry.record.message_id: (entry.partition, entry.offset) for entry in entries}
    assert len(places) == len(entries)
    return places


def raw(url: str) -> tuple[Producer, str]:
    """A stranger who writes to the topic of events."""
    address = KafkaAddress.parse(url)
    return Producer({"bootstrap.servers": address.servers}), address.topic("test", "event")


def make_topic(url: str, partitions: int, **config: str) -> None:
    address = KafkaAddress.parse(url)
    client = AdminClient({"bootstrap.servers": address.servers})
    said = {name.replace("_", "."): value for name, value in config.items()}
    topic = NewTopic(address.topic("test", "event"), partitions, 1, config=said)
    for made in client.create_topics([topic]).values():
        made.result()


@pytest.mark.parametrize(
    ("key", "digest"),
    [
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("abc", 479470107),
    ],
)
def test_a_person_is_where_kafkas_own_producers_put_them(key: str, digest: int) -> None:
    assert murmur2(key.encode()) == digest % 2**32
    assert partition_of(key, 7) == (digest & 0x7FFFFFFF) % 7


def test_two_machines_know_the_same_records(url: str, tmp_path: Path) -> None:
    with machine(url, tmp_path, "one") as one, machine(url, tmp_path, "two") as two:
        one.append([event(number) for number in range(20)])
        assert two.append([event(number) for number in range(10, 30)]).duplicates == 10
        compact(two)
        assert found(one) == found(two)
        assert len(found(one)) == 30
        assert one.find("m29") == event(29)


def test_a_key_that_two_machines_append_at_once_counts_once_and_its_first_record_wins(
    url: str, tmp_path: Path
) -> None:
    with machine(url, tmp_path, "one") as one, machine(url, tmp_path, "two") as two:
        one.append([event(1)])
        two.end()
        first = one.append([event(4, value=1.0), event(7)])
        second = two.append([event(4, value=2.0), event(10)])
        assert [entry.record for entry in first.entries] == [event(4, value=1.0), event(7)]
        assert [entry.record for entry in second.entries] == [event(10)]
        assert second.duplicates == 1
        assert found(one) == found(two)
        assert one.find("m4") == two.find("m4") == event(4, value=1.0)


def test_a_mirror_that_is_lost_is_made_again_from_topic_and_archive(url: str, tmp_path: Path) -> None:
    with machine(url, tmp_path) as stream:
        stream.append([event(number) for number in range(30)])
        compact(stream)
        stream.append([event(number) for number in range(30, 40)])
        stream.forget("user:user-1")
        before, end = found(stream), stream.end()
    for file in (tmp_path / "one").glob("mirror.db*"):
        file.unlink()
    with machine(url, tmp_path) as again:
        assert again.append([event(number) for number in range(40)]).duplicates == 40
        assert found(again) == before
        assert again.end() == end
        assert compact(again).records < 40


def test_who_is_forgotten_on_one_machine_is_gone_from_the_archive_of_another(
    url: str, tmp_path: Path
) -> None:
    with machine(url, tmp_path, "one") as one, machine(url, tmp_path, "two") as two:
        one.append([event(number) for number in range(12)])
        compact(two)
        assert one.forget("user:user-1") == 4
        one.append([event(13)])
        assert set(found(two)) == {f"m{n}" for n in range(12) if n % 3 != 1} | {"m13"}
        compact(two)
        assert sum(len(batch) for batch in two.scan(columns=["user_key"])) == 9


def test_what_is_no_record_is_set_aside_and_the_stream_goes_on(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with machine(url, tmp_path) as stream:
        stream.append([event(1)])
        producer, topic = raw(url)
        home = partition_of("user:user-1", 3)
        strange = [
            b"\xff\x00",
            b"[]",
            b"{}",
            b'{"message_id": 7}',
            b'{"message_id": "x", "user_key": "user:user-1"}',
        ]
        for value in strange:
            producer.produce(topic, value, "user:user-1", partition=home)
        producer.produce(topic, b"{}", b"\xff", partition=home)
        producer.produce(topic, b"{}", "user:user-1", partition=(home + 1) % 3)
        producer.flush(5)
        with caplog.at_level(logging.WARNING, logger="tailorbird.kafka"):
            stream.append([event(4)])
            assert set(found(stream)) == {"m1", "m4"}
        assert stream.set_aside == 7
        assert len([line for line in caplog.messages if "set aside" in line]) == 7
        assert "user-1" not in caplog.text


def test_a_message_too_large_is_refused_and_nothing_of_its_batch_is_stored(url: str, tmp_path: Path) -> None:
    with machine(url, tmp_path) as stream:
        large = event(2, properties={"text": "x" * 2_000_000})
        with pytest.raises(UsageError, match=r"2,000,\d+ bytes, the topic takes 998,000.*max.message.bytes"):
            stream.append([event(1), large])
        assert stream.end() == BEGINNING


def test_a_topic_with_too_few_partitions_is_refused(url: str, tmp_path: Path) -> None:
    make_topic(url, 2)
    with (
        machine(url, tmp_path) as stream,
        pytest.raises(TailorbirdError, match=r"has 2 partitions.*says 3.*set partitions=2"),
    ):
        stream.append([event(1)])


@pytest.mark.parametrize("policy", ["compact", "compact,delete"])
def test_a_topic_that_compacts_is_refused(url: str, tmp_path: Path, policy: str) -> None:
    make_topic(url, 3, cleanup_policy=policy)
    with (
        machine(url, tmp_path) as stream,
        pytest.raises(TailorbirdError, match=f"cleanup.policy = '{policy}'.*cleanup.policy=delete"),
    ):
        stream.append([event(1)])


def test_replicas_that_need_not_be_in_sync_are_a_risk() -> None:
    assert "min.insync.replicas=2" in risk(3, {"min.insync.replicas": "1"})
    assert not risk(3, {"min.insync.replicas": "2"})
    assert not risk(2, {"min.insync.replicas": "1"})
    assert not risk(3, {})


def test_a_risk_is_logged_once_and_found_by_the_doctor(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_topic(url, 3, min_insync_replicas="1")
    # The broker of the tests has one replica of everything: only their number is not the real thing.
    monkeypatch.setattr(admin, "risk", lambda replicas, said: risk(3, said))
    with machine(url, tmp_path) as stream, caplog.at_level(logging.WARNING):
        for number in range(2):
            stream.append([event(number)])
    assert sum("min.insync.replicas is 1 with 3 replicas" in said for said in caplog.messages) == 1
    address = KafkaAddress.parse(url)
    finding = health.look_at(address, address.topic("test", "event"))
    assert finding.state == "warning"
    assert "set min.insync.replicas=2" in finding.says


def test_an_older_answer_about_the_ends_is_no_lost_record(url: str, tmp_path: Path) -> None:
    with machine(url, tmp_path, "one") as one, machine(url, tmp_path, "two") as two:
        one.end()
        ends, slow = one._topic.ends, threading.Event()

        def overtaken() -> dict[int, int]:
            found = ends()
            if not slow.is_set():
                slow.set()
                two.append([event(number) for number in range(20)])
                faster = threading.Thread(target=one.end)
                faster.start()
                faster.join()
            return found

        one._topic.ends = overtaken  # type: ignore[method-assign]
        one.end()
        assert len(found(one)) == 20


def test_partitions_that_were_added_are_left_alone(
    kafka: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = kafka.url()
    make_topic(url, 5)
    with machine(url, tmp_path) as stream, caplog.at_level(logging.WARNING, logger="tailorbird.kafka"):
        entries = stream.append([event(number) for number in range(30)]).entries
        assert {entry.partition for entry in entries} <= {0, 1, 2}
        assert "the first 3 are used" in caplog.text
    other = url.replace("partitions=3", "partitions=5")
    with machine(other, tmp_path) as stream, pytest.raises(UsageError, match="lie in 3 partitions"):
        stream.end()


def test_records_that_retention_took_before_the_archive_are_missed_aloud(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with machine(url, tmp_path, "one") as one:
        one.append([event(number) for number in range(30)])
        # The broker of the tests drops nothing: it is made to say so.
        ends = one.end()
        monkeypatch.setattr(Topic, "starts", lambda self: {part: ends[part] // 2 for part in range(3)})
        with (
            machine(url, tmp_path, "new") as new,
            pytest.raises(TailorbirdError, match=r"retention has dropped records from offset 0 on.*restore"),
        ):
            new.read(BEGINNING)
        compact(one)
        (tmp_path / "heir").mkdir()
        (tmp_path / "one" / "archive").rename(tmp_path / "heir" / "archive")
        with machine(url, tmp_path, "heir") as heir:
            assert len(found(heir)) == 30
            assert heir.append([event(number) for number in range(30)]).duplicates == 30


def test_processes_that_open_a_new_stream_at_once_make_one(url: str, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.streams.embedded import event; "
        "from tests.streams.brokers import machine; stream = machine(sys.argv[1], Path(sys.argv[2])); "
        "[stream.append([event(n), event(n + 1)]) for n in range(int(sys.argv[3]), 40, 2)]; stream.close()"
    )
    others = [
        subprocess.Popen([sys.executable, "-c", program, url, str(tmp_path), str(start)])
        for start in (0, 1, 2)
    ]
    assert [other.wait(timeout=60) for other in others] == [0, 0, 0]
    with machine(url, tmp_path) as stream:
        assert set(found(stream)) == {f"m{n}" for n in range(41)}


def test_the_settings_choose_topics_of_the_workspace(kafka: Broker, tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, workspace="tea", events=kafka.url("shops"))
    with open_events(settings) as stream:
        assert stream.append([event(1)]).entries[0].record == event(1)
    admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{kafka.port}"})
    assert "shops.tea.events" in admin.list_topics(timeout=5).topics


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("kafka://", "names no broker"),
        ("kafka://u:p@host/", "TAILORBIRD_EVENTS_PASSWORD"),
        ("kafka://host/?partition=3", "option partition is unknown; known are partitions"),
        ("kafka://host/?partitions=0", "no whole number from 1"),
        ("kafka://host/?wait_seconds=x", "no number from 0.5"),
        ("kafka://host/?acks=1", "cannot be chosen"),
        ("kafka://host/?ca=/nowhere.pem", "is no file"),
        ("kafka://host/?tls=yes", "neither on nor off"),
        ("kafka://host/a b", "prefix 'a b'"),
        ("kafka://host/?tls=on&tls=off", "given twice"),
    ],
)
def test_an_address_that_is_wrong_is_refused(url: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        KafkaAddress.parse(url)


@pytest.mark.parametrize(
    "url",
    [
        "kafka://host/?sasl.password=hunter2",
        "kafka://host/?password=hunter2",
        "kafka://host/?pass_word=hunter2",
        "kafka://host/?key=hunter2",
        "kafka:///p?ssl.key.password=hunter2",
        "kafka://host/?ssl.key.password=a&ssl.key.password=hunter2",
        "kafka://me:a/hunter2@host",
    ],
)
def test_an_address_that_is_wrong_is_refused_without_its_passwords(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        KafkaAddress.parse(url)
    assert "hunter2" not in str(refused.value) + repr(refused.value)


def test_an_address_says_how_to_get_in() -> None:
    address = KafkaAddress.parse(
        "kafka://a:1,b/acme?user=me&tls=on&sasl=SCRAM-SHA-512&batch.size=1000", password="secret"
    )
    assert address.servers == "a:1,b:9092"
    assert address.topic("shop", "events") == "acme.shop.events"
    assert address.client == {
        "security.protocol": "sasl_ssl",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "me",
        "sasl.password": "secret",
        "batch.size": "1000",
    }
    assert "secret" not in repr(address)


def test_nothing_is_asked_of_a_broker_before_it_is_needed(tmp_path: Path) -> None:
    with machine("kafka://127.0.0.1:1/?wait_seconds=0.5", tmp_path) as stream:
        for use in (stream.end, lambda: stream.append([event(1)]), lambda: stream.read(BEGINNING)):
            with pytest.raises(
                StreamAwayError, match=r"127.0.0.1:1.*start the broker or correct TAILORBIRD_EVENTS"
            ):
                use()
        assert not stream.read(BEGINNING, limit=0)
        assert Position() == BEGINNING


def test_machines_that_share_an_archive_fill_it_once(url: str, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "shared").mkdir()
    for name in ("one", "two"):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "archive").symlink_to(tmp_path / "shared")
    with machine(url, tmp_path, "one") as one, machine(url, tmp_path, "two") as two:
        one.append([event(number) for number in range(20)])
        assert two.live() == 20
        rows = [part.tail(limit=100) for part in two.parts]
        compact(one)
        for part, some in zip(two.parts, rows, strict=True):
            if len(some):
                with pytest.raises(TailorbirdError, match="another machine was faster"):
                    part.archive.append(some)
        compact(two)
        two.append([event(number) for number in range(20, 30)])
        compact(two)
        assert found(one) == found(two)
        assert len(found(one)) == 30
