"""Machines that keep one archive in object storage: whichever of them moves records there, each is in it once."""

import threading
from collections import Counter
from pathlib import Path

import pytest

from tailorbird.errors import TailorbirdError
from tailorbird.events.rows import EVENTS
from tailorbird.events.schema import Event
from tailorbird.plumbing.objects import ObjectPath
from tailorbird.streams.compaction import compact
from tailorbird.streams.kafka.address import KafkaAddress
from tailorbird.streams.kafka.stream import KafkaStream
from tests.streams.brokers import Broker
from tests.streams.embedded import event
from tests.streams.laws import journey


def opened(url: str, folder: Path, archive: str) -> KafkaStream[Event]:
    address = KafkaAddress.parse(url)
    return KafkaStream(
        address,
        address.topic("test", "event"),
        EVENTS,
        mirror=folder / "mirror.db",
        archive=ObjectPath(archive),
    )


def ids(stream: KafkaStream[Event]) -> Counter[str]:
    return Counter(entry.record.message_id for entry in journey(stream, page=50))


def archived(stream: KafkaStream[Event]) -> Counter[str]:
    held: Counter[str] = Counter()
    for part in stream.parts:
        through = part.archive.through()
        for rows in part.archive.read(after=-1, through=through):
            held.update(rows["message_id"].to_pylist())
    return held


def moving(stream: KafkaStream[Event], stop: threading.Event, troubles: list[str]) -> None:
    while not stop.is_set():
        try:
            compact(stream)
        except TailorbirdError as error:
            troubles.append(str(error))


@pytest.mark.server
def test_two_machines_fill_one_archive_at_once_and_nothing_is_in_it_twice(
    kafka: Broker, storage: str, tmp_path: Path
) -> None:
    url, archive = kafka.url(), f"{storage}/archive"
    stop = threading.Event()
    troubles: list[str] = []
    with opened(url, tmp_path / "one", archive) as one, opened(url, tmp_path / "two", archive) as two:
        threads = [threading.Thread(target=moving, args=(each, stop, troubles)) for each in (one, two)]
        one.append([event(0)])
        for thread in threads:
            thread.start()
        try:
            for number in range(1, 120, 6):
                (one, two)[number % 2].append([event(number + place) for place in range(6)])
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        for stream in (one, two):
            compact(stream)
        wanted = Counter(f"m{number}" for number in range(121))
        assert ids(one) == ids(two) == wanted
        assert archived(one) == archived(two) == wanted
        two.forget("user:user-1")
        theirs = Counter({each: 1 for each in wanted if int(each[1:]) % 3 != 1})
        assert ids(one) == ids(two) == theirs
        compact(one)
        assert archived(one) == theirs
    assert all(
        "another machine was faster" in each or "cannot be read or written" in each for each in troubles
    )


@pytest.mark.server
def test_who_is_forgotten_while_files_are_joined_stays_forgotten(
    kafka: Broker, storage: str, tmp_path: Path
) -> None:
    url, archive = kafka.url(partitions=1), f"{storage}/archive"
    with opened(url, tmp_path / "one", archive) as one, opened(url, tmp_path / "two", archive) as two:
        for number in range(6):
            one.append([event(number)])
            compact(one)
        (mine,), (theirs,) = one.parts, two.parts
        table, patch = mine.archive._table, pytest.MonkeyPatch()
        load = table.load
        loads = iter(range(6))

        def forgotten_meanwhile(*arguments: object) -> object:
            rows = load(*arguments)  # type: ignore[arg-type]
            if next(loads) == 5:  # the last file that is joined is in memory
                patch.undo()
                assert theirs.archive.forget("user:user-1") == 2
            return rows

        patch.setattr(table, "load", forgotten_meanwhile)
        with pytest.raises(TailorbirdError, match="cannot be read or written"):
            mine.archive.merge(fewest=2)
        assert archived(one) == archived(two) == Counter(["m0", "m2", "m3", "m5"])
        assert mine.archive.merge(fewest=2) == 4
        assert archived(one) == Counter(["m0", "m2", "m3", "m5"])
