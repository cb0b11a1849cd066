"""Whole records under their persons' keys in Kafka: an erasure reaches what the topic still holds."""

import logging
from base64 import b64decode
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from tailorbird.backup.making import make_backup
from tailorbird.backup.restoring import restore
from tailorbird.catalog.catalog import Users
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.privacy.door.door import Door
from tailorbird.privacy.erasure.erasing import left_of
from tailorbird.privacy.erasure.places import StreamPlace
from tailorbird.privacy.export.saying import exposures_in_words
from tailorbird.privacy.keys.keyring import open_keyring
from tailorbird.privacy.keys.sealing import SealError, unseal
from tailorbird.privacy.people.book import Book, BookPlace
from tailorbird.settings import Settings
from tailorbird.streams.factory import compact_stream, open_events, open_exposures
from tailorbird.streams.kafka.address import KafkaAddress
from tailorbird.streams.kafka.partitions import partition_of
from tailorbird.streams.kafka.seals import envelope_of, is_sealed
from tailorbird.streams.kafka.stream import KafkaStream
from tailorbird.streams.position import BEGINNING
from tailorbird.streams.stream import Stream, StreamAwayError
from tests.exposures import toy
from tests.postgres import database_away
from tests.privacy.erasing_child import open_small
from tests.privacy.test_door import SENT
from tests.streams.brokers import Broker
from tests.streams.laws import journey

pytestmark = pytest.mark.server
ANN = replace(SENT, item_id="rare-orchid", type="view")
BOB = replace(SENT, message_id="b1", user_id="bob", anonymous_id=None, item_id="cup", properties={})
Machines = tuple[Settings, Settings, Settings]


@pytest.fixture
def three(machines: tuple[Settings, Settings], kafka: Broker) -> Machines:
    """Two machines, and one that comes later, with the same brokers and people."""
    url = kafka.url()
    homes = (machines[0].home, machines[1].home, machines[0].home.parent / "new")
    one, two, new = (Settings(**{**machines[0].model_dump(), "events": url, "home": home}) for home in homes)
    return one, two, new


def raw(settings: Settings, stream: str) -> list[tuple[str, bytes | None]]:
    """What lies in a topic: keys and values as they are."""
    address = KafkaAddress.parse(settings.events)
    topic = address.topic(settings.workspace, stream)
    consumer = Consumer(
        {"bootstrap.servers": address.servers, "group.id": "raw", "enable.partition.eof": True}
    )
    consumer.assign([TopicPartition(topic, part, OFFSET_BEGINNING) for part in range(address.partitions)])
    found: list[tuple[str, bytes | None]] = []
    ended = 0
    while ended < address.partitions:
        message = consumer.poll(10)
        assert message is not None
        if message.error() is not None:
            assert message.error().name() == "_PARTITION_EOF", message.error()
            ended += 1
        else:
            found.append((message.key().decode(), message.value()))
    consumer.close()
    return found


def put(settings: Settings, stream: str, key: str, value: bytes, *, partition: int | None = None) -> None:
    """As somebody who writes to the topic by other means."""
    address = KafkaAddress.parse(settings.events)
    producer = Producer({"bootstrap.servers": address.servers})
    home = partition_of(key, address.partitions) if partition is None else partition
    producer.produce(address.topic(settings.workspace, stream), value, key, partition=home)
    assert producer.flush(10) == 0


def ids(stream: Stream[Any]) -> set[str]:
    return {entry.record.message_id for entry in journey(stream, page=3)}


def aside(stream: Stream[Any]) -> int:
    assert isinstance(stream, KafkaStream)
    return stream.set_aside


@pytest.fixture
def door(three: Machines) -> Iterator[Door]:
    with closing(Door.of(three[0])) as opened:
        yield opened


def test_the_bytes_of_a_topic_tell_nothing_without_the_persons_key(three: Machines, door: Door) -> None:
    one, two, _ = three
    shown = replace(toy.exposure(1), user_id=door.names.user("carla"), anonymous_id=None)
    with open_events(one) as log, open_exposures(one) as exposures:
        stored = door.events([ANN, BOB])
        log.append(stored)
        exposures.append([shown])
    with open_events(two) as log, open_exposures(two) as exposures:
        assert ids(log) == {each.message_id for each in stored}
        assert log.find(stored[0].message_id) == stored[0]
        assert exposures.find(shown.recommendation_id) == shown
    for stream, words in (
        ("events", (b"rare-orchid", b"view", b"message_id", stored[0].message_id.encode())),
        ("exposures", (b"data", shown.recommendation_id.encode(), *(each.encode() for each in shown.items))),
    ):
        values = [value for _, value in raw(one, stream)]
        assert values
        for value in values:
            assert is_sealed(value)
            assert not any(word in value for word in words)  # type: ignore[operator]


def erase(settings: Settings, door: Door, person: str, **more: Any) -> None:
    erasing = open_small(settings, **more)
    shown = StreamPlace(
        "exposures",
        "what was shown",
        open_stream=lambda: open_exposures(settings),
        said=exposures_in_words,
        claims=(),
    )
    erasing.places = (*erasing.places, shown, BookPlace(lambda: door.book))
    asked = erasing.ask(person)
    assert erasing.run() == 1
    receipt = erasing.ledger.find(asked.id)
    assert receipt is not None
    assert receipt.state == "done"
    assert set(left_of(erasing.places, [person]).values()) == {0}


def test_a_machine_that_reads_the_topic_from_its_beginning_gets_nothing_of_the_erased_back(
    three: Machines, door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    one, two, new = three
    stored = door.events([ANN, BOB, replace(BOB, message_id="b2")])
    ann = stored[0]
    shown = replace(toy.exposure(1), user_id=ann.user_id, anonymous_id=None)
    with open_events(one) as log, open_events(two) as other, open_exposures(one) as exposures:
        log.append(stored)
        exposures.append([shown])
        compact_stream(other)
        key = next(value for person, value in raw(one, "events") if person == ann.user_key)
        erase(one, door, ann.user_key)
        assert ids(other) == {each.message_id for each in stored[1:]}
    assert any(value == key for person, value in raw(one, "events") if person == ann.user_key)
    # The bytes are still there, and open by no key that there is.
    envelope = envelope_of(key)
    assert envelope is not None
    with closing(Book.of(new, open_keyring(new))) as book:
        assert book.keys_named({(ann.user_key, envelope.key)}) == {}
    with caplog.at_level(logging.INFO, logger="tailorbird.kafka"), open_events(new) as late:
        assert ids(late) == {each.message_id for each in stored[1:]}
        assert late.find(ann.message_id) is None
        assert aside(late) == 0
        assert "1 records of people who were erased" in caplog.text
        assert ann.user_key not in caplog.text
        assert late.append(door.events([replace(BOB, message_id="b3")])).duplicates == 0
        assert late.lag(late.end()) == 0
    assert [is_sealed(value) for _, value in raw(one, "exposures") if value is not None] == [True]
    with open_exposures(new) as late_exposures:
        assert journey(late_exposures, page=3) == []
        assert late_exposures.find(shown.recommendation_id) is None
        assert late_exposures.append([shown]).refused == [shown]
        assert aside(late_exposures) == 0
    for path in new.folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert b"rare-orchid" not in content, path


def test_whoever_comes_back_has_another_key_and_their_old_message_stays_taken(
    three: Machines, door: Door
) -> None:
    one, two, new = three
    (ann,) = door.events([ANN])
    with open_events(one) as log:
        log.append([ann])
        erasing = open_small(one)
        erase(one, door, ann.user_key)
        assert erasing.suppressions.lift(ann.user_key) == 1
    with open_events(new) as late:  # replays it all, with nothing kept of before
        again = door.events([ANN, replace(ANN, message_id="a2")])
        assert late.append(again).duplicates == 1
        assert ids(late) == {again[1].message_id}
    with open_events(two) as other:
        assert ids(other) == {again[1].message_id}
        assert aside(other) == 0


def test_a_record_that_another_machine_let_in_meanwhile_goes_too(three: Machines, door: Door) -> None:
    one, two, _ = three
    (ann,) = door.events([ANN])
    late = replace(ann, message_id=door.names.message("late"))
    with open_events(one) as log, open_events(two) as other:
        log.append([ann])
        assert isinstance(other, KafkaStream)
        other._refuses = lambda people: frozenset()  # it was asked a moment before the list changed
        waited: list[float] = []

        def sleep(seconds: float) -> None:
            waited.append(seconds)
            if len(waited) == 1:
                other.append([late])

        clock = iter(float(n) for n in range(1_000))
        erase(one, door, ann.user_key, settle_seconds=500.0, sleep=sleep, clock=lambda: next(clock))
        assert waited
        other.end()
        assert other.find(late.message_id) is None
        assert ids(other) == ids(log) == set()


def test_a_topic_that_holds_plain_records_goes_on_sealed(
    three: Machines, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, _ = three
    stored = door.events([ANN, BOB])
    with open_events(one) as log:
        assert isinstance(log, KafkaStream)
        with monkeypatch.context() as before:
            before.setattr(log, "_seals", None)
            log.append(stored[:1])
        log.append(stored[1:])
    assert sorted(is_sealed(value) for _, value in raw(one, "events")) == [False, True]
    with open_events(two) as other:
        assert ids(other) == {each.message_id for each in stored}
        assert other.append(stored).duplicates == 2


def test_an_envelope_that_was_changed_or_moved_is_set_aside(three: Machines, door: Door) -> None:
    one, two, _ = three
    stored = door.events([ANN, BOB])
    with open_events(one) as log:
        log.append(stored)
    values = dict(raw(one, "events"))
    ann, bob = (each.user_key for each in stored)
    good = values[ann]
    assert good is not None
    put(one, "events", ann, good[:-1] + bytes([good[-1] ^ 1]))
    put(one, "events", ann, good[:20])
    put(one, "events", ann, good[:2] + bytes(16) + good[18:])  # with another's digest
    put(one, "events", bob, good)  # by a name that is no key of theirs: as if it were destroyed
    with open_events(two) as other:
        assert ids(other) == {each.message_id for each in stored}
        assert aside(other) == 3


def test_while_the_database_of_people_is_away_nothing_is_passed_over(three: Machines, door: Door) -> None:
    one, two, _ = three
    stored = door.events([ANN, BOB])
    with open_events(one) as log, open_events(two) as other:
        log.append(stored)
        with database_away(one.people):
            with pytest.raises(StreamAwayError, match="the people in"):
                other.read(BEGINNING)
            with pytest.raises(StreamAwayError):
                log.append([replace(stored[1], message_id="more")])
        assert ids(other) == {each.message_id for each in stored}
        assert aside(other) == 0


def test_a_machine_that_does_not_share_the_people_says_so_and_passes_nothing_over(
    three: Machines, door: Door
) -> None:
    one, _, new = three
    with open_events(one) as log:
        log.append(door.events([ANN]))
    apart = new.model_copy(update={"people": ""})
    with open_events(apart) as log, pytest.raises(StreamAwayError, match="set TAILORBIRD_PEOPLE"):
        log.read(BEGINNING)
    keyless = Settings(**{**new.model_dump(), "master_key": ""})
    with open_events(keyless) as log, pytest.raises(UsageError, match="no master key"):
        log.read(BEGINNING)
    elsewhere = {"master_key": "b" * 43 + "=", "home": new.home.parent / "other"}
    other = Settings(**{**new.model_dump(), **elsewhere})
    with open_events(other) as log, pytest.raises(TailorbirdError, match="named by the keyring"):
        log.read(BEGINNING)
    with open_events(new) as log:
        assert len(journey(log, page=3)) == 1


def test_an_answer_for_nobody_has_no_page_and_whoever_was_only_shown_something_has_one_without_an_id(
    three: Machines, door: Door
) -> None:
    one, two, _ = three
    nobodys = replace(toy.exposure(1), user_id=None, anonymous_id=None)
    somebody = door.person("only-looking")
    theirs = replace(
        toy.exposure(2),
        recommendation_id="01020304050607-2",
        user_id=door.names.user("only-looking"),
        anonymous_id=None,
    )
    with open_exposures(one) as exposures:
        exposures.append([nobodys, theirs])
    values = dict(raw(one, "exposures"))
    assert (is_sealed(values[nobodys.user_key]), is_sealed(values[somebody])) == (False, True)
    assert door.book.known([nobodys.user_key, somebody]) == {somebody}
    assert door.callers_ids([somebody]) == {}
    (row,) = BookPlace(lambda: door.book).read([somebody])
    assert (row["key"], row["id"]) == (somebody, None)
    with closing(Door.of(two)) as second:
        (stored,) = second.events([replace(BOB, user_id="only-looking", properties={"query": "shoes"})])
        assert stored.user_key == somebody
    assert door.callers_ids([somebody]) == {somebody: "only-looking"}
    assert door.personal(stored)["properties"] == {"query": "shoes"}
    with open_exposures(two) as exposures:  # sealed before the id was known, by the same key
        assert exposures.find(theirs.recommendation_id) == theirs
        assert exposures.find(nobodys.recommendation_id) == nobodys


def test_a_sealed_text_within_a_sealed_record_still_opens(three: Machines, door: Door) -> None:
    one, two, _ = three
    (stored,) = door.events([ANN])
    with open_events(one) as log:
        log.append([stored])
    with open_events(two) as other, closing(Door.of(two)) as second:
        found = other.find(stored.message_id)
        assert found is not None
        assert second.personal(found)["properties"] == {"query": "gift for bobington", "color": "red"}
        (key,) = second.book.keys([stored.user_key]).values()
        with pytest.raises(SealError):  # neither opens as the other
            unseal(
                key.cipher, b64decode(str(stored.properties["sealed"])), purpose=f"record {stored.user_key}"
            )


def test_a_backup_of_several_partitions_comes_back_into_one_and_into_others(
    three: Machines, door: Door, tmp_path: Path
) -> None:
    one = three[0]
    Users.from_frame(pd.DataFrame([{"user_id": "u1"}])).write(one.catalog_folder)
    with open_events(one) as log:
        sent = [replace(BOB, message_id=f"m{n}", user_id=f"u{n % 17}") for n in range(40)]
        stored = door.events(sent)
        log.append(stored)
        assert len(log.end().offsets) > 1
    made = make_backup(one, tmp_path / "backups")
    for changed in ({"events": "sqlite", "people": ""}, {"workspace": "again"}):
        settings = Settings(**{**one.model_dump(), "home": tmp_path / "elsewhere", **changed})
        assert restore(settings, made.folder).readable["events"] == len(stored)
        with open_events(settings) as log:
            assert ids(log) == {each.message_id for each in stored}
            again = log.append([stored[3], replace(stored[3], message_id="new")])
            assert (len(again.entries), again.duplicates) == (1, 1)
