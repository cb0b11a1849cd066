"""The embedded engine: many writers, sudden ends, full and locked files, damage, and what forgetting leaves on the disk."""

import multiprocessing
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.streams.compaction import compact
from tailorbird.streams.position import BEGINNING, Position
from tailorbird.streams.sqlite import SqliteStream
from tailorbird.streams.stream import StreamAwayError
from tests.streams.embedded import event, open_at
from tests.streams.laws import journey


@pytest.fixture
def stream(tmp_path: Path):
    with open_at(tmp_path) as stream:
        yield stream


def _append_many(folder: Path, first: int, count: int) -> int:
    with open_at(folder, wait_seconds=30) as stream:
        return sum(len(stream.append([event(number)]).entries) for number in range(first, first + count))


def test_processes_that_write_together_store_each_message_once(tmp_path: Path) -> None:
    # No stream is opened here before: the processes also race to create it.
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        stored = pool.starmap(_append_many, [(tmp_path, first, 60) for first in (0, 30, 60, 90)])
    assert sum(stored) == 150
    with open_at(tmp_path) as stream:
        entries = stream.read(BEGINNING, limit=1000).entries
    assert [entry.offset for entry in entries] == list(range(1, 151))
    assert {entry.record.message_id for entry in entries} == {f"m{number}" for number in range(150)}


def test_threads_that_share_a_stream_store_each_message_once(stream: SqliteStream) -> None:
    def work(first: int) -> None:
        for number in range(first, first + 40):
            stream.append([event(number)])
            stream.read(BEGINNING, limit=5)

    threads = [threading.Thread(target=work, args=(first,)) for first in (0, 20, 40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stream.end() == Position({0: 80})
    assert len({entry.record.message_id for entry in journey(stream, page=100)}) == 80


WRITER = """
import sys
from pathlib import Path
from tests.streams.embedded import event, open_at
stream = open_at(Path(sys.argv[1]))
for number in range(100_000):
    stream.append([event(number)])
    print(number, flush=True)
"""


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    acknowledged = [int(writer.stdout.readline()) for _ in range(25)]
    writer.send_signal(signal.SIGKILL)
    acknowledged += [int(line) for line in writer.stdout.read().splitlines()]
    writer.stdout.close()
    writer.wait()
    with open_at(tmp_path) as stream:
        stored = [entry.record for entry in journey(stream, page=1000)]
    assert stored[: len(acknowledged)] == [event(number) for number in acknowledged]
    assert len(stored) <= len(acknowledged) + 1


@pytest.mark.parametrize(("durable", "level"), [(True, 2), (False, 1)])  # 2 is FULL, 1 is NORMAL
def test_only_durable_commits_wait_for_the_disk(tmp_path: Path, durable: bool, level: int) -> None:
    with open_at(tmp_path, durable=durable) as stream:
        connection = stream._database._writer
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (level,)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    path.write_bytes(b"this is no database, although its name says so" * 100)
    with pytest.raises(StreamAwayError, match=r"events\.db.*not a database.*restore"):
        open_at(tmp_path)
    assert path.read_bytes().startswith(b"this is no database")


def test_a_stream_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "events.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(TailorbirdError, match=r"format 99.*newer program"):
        open_at(tmp_path)


def test_a_database_that_lost_its_archive_or_another_ones_is_refused(tmp_path: Path) -> None:
    for name in ("one", "other"):
        with open_at(tmp_path / name) as stream:
            stream.append([event(number) for number in range(5)])
            compact(stream)
    (tmp_path / "one" / "archive").rename(tmp_path / "lost")
    with open_at(tmp_path / "one") as stream:
        with pytest.raises(TailorbirdError, match=r"lacks the records from offset 1 to 5.*restore"):
            stream.read(BEGINNING)
        with pytest.raises(TailorbirdError, match="lacks the records from offset 1 to 5"):
            list(stream.scan())
    (tmp_path / "other" / "archive").rename(tmp_path / "one" / "archive")
    with open_at(tmp_path / "one") as stream, pytest.raises(TailorbirdError, match="another stream"):
        stream.read(BEGINNING)
    (tmp_path / "one" / "events.db").unlink()
    with pytest.raises(TailorbirdError, match="is empty, its archive"):
        open_at(tmp_path / "one")


def test_callers_before_a_locked_file_give_up_together(tmp_path: Path) -> None:
    with open_at(tmp_path, wait_seconds=0.5) as stream:
        other = sqlite3.connect(stream.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        failures: list[StreamAwayError] = []

        def call(number: int) -> None:
            with pytest.raises(StreamAwayError, match=r"locked|getting on") as caught:
                stream.append([event(number)])
            failures.append(caught.value)

        callers = [threading.Thread(target=call, args=(number,)) for number in range(20)]
        started = time.monotonic()
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        waited = time.monotonic() - started
        other.execute("ROLLBACK")
        other.close()
        assert len(failures) == 20
        assert all("try again" in str(failure) for failure in failures)
        assert waited < 20 * 0.5 / 2  # one after the other they would have taken 20 times half a second
        assert len(stream.append([event(1)]).entries) == 1


def test_a_full_disk_refuses_and_readers_read_on(stream: SqliteStream) -> None:
    stream.append([event(1)])
    pages = stream._database._writer.execute("PRAGMA page_count").fetchone()[0]
    stream._database._writer.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StreamAwayError, match=r"full.*free some disk space"):
        stream.append([event(2, properties={"text": "x" * 50_000})])
    assert [entry.record for entry in stream.read(BEGINNING).entries] == [event(1)]
    stream._database._writer.execute("PRAGMA max_page_count = 100000")
    assert stream.append([event(1), event(2)]).duplicates == 1


FULL = """
import resource, signal, sys
from pathlib import Path
from tailorbird.streams.stream import StreamAwayError
from tailorbird.streams.position import BEGINNING
from tests.streams.embedded import event, open_at
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
stream = open_at(Path(sys.argv[1]))
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, most))
number = 0
try:
    while True:
        stream.append([event(number, properties={"text": "x" * 5_000})])
        number += 1
except StreamAwayError as error:
    print(error.remedy)
stored = len(stream.read(BEGINNING).entries)
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
stream.append([event(number)])
print(number, stored, len(stream.read(BEGINNING).entries))
"""


def test_a_disk_that_takes_no_more_costs_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=True, timeout=120
    )
    remedy, numbers = done.stdout.splitlines()
    acknowledged, stored, after = map(int, numbers.split())
    assert remedy == "free some disk space and try again"
    assert acknowledged == stored > 10
    assert after == stored + 1


@pytest.mark.parametrize("act", ["delete", "replace"])
def test_a_file_that_went_away_takes_nothing_more(tmp_path: Path, act: str) -> None:
    with open_at(tmp_path) as stream:
        stream.append([event(1)])
        copy = stream.path.read_bytes()
        stream.path.unlink()
        if act == "replace":
            stream.path.write_bytes(copy)
        for attempt in (lambda: stream.append([event(2)]), stream.end, lambda: compact(stream)):
            with pytest.raises(StreamAwayError, match="deleted or replaced"):
                attempt()
        assert not stream.archive.exists()
        assert stream.path.exists() == (act == "replace")


def test_reading_a_negative_number_of_records_is_refused(stream: SqliteStream) -> None:
    with pytest.raises(UsageError, match="from 0 on"):
        stream.read(BEGINNING, limit=-1)


def test_nothing_of_a_forgotten_person_is_left_on_the_disk(tmp_path: Path) -> None:
    def named(name: str) -> list[str]:
        return sorted(
            str(path.relative_to(tmp_path))
            for path in tmp_path.rglob("*")
            if path.is_file() and name.encode() in path.read_bytes()
        )

    with open_at(tmp_path) as stream:
        for start in (0, 100):
            stream.append(
                [
                    event(number, user_id=name, message_id=f"{name}-{number}", item_id=None)
                    for number, name in enumerate(["quetzalcoatl", "neighbour"] * 50, start=start)
                ]
            )
            compact(stream) if not start else None
        assert any("archive" in path for path in named("quetzalcoatl"))
        assert stream.forget("user:quetzalcoatl") == 100
        stream._database._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert named("quetzalcoatl") == []
    assert named("neighbour")


def test_a_page_read_twice_is_the_same_whatever_was_read_between(
    stream: SqliteStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tailorbird.streams.archived.STRIDE_ROWS", 200)
    stream.append([event(number) for number in range(500)])
    compact(stream)
    whole = stream.read(BEGINNING, limit=500).entries
    assert len(journey(stream, page=30)) == 500
    for start in (0, 60, 30, 90, 490, 0):
        page = stream.read(Position({0: start}), limit=30).entries
        assert page == whole[start : start + 30]


def test_shrinking_a_file_without_incremental_vacuum_ends(tmp_path: Path) -> None:
    with open_at(tmp_path) as stream:
        stream.append([event(number) for number in range(300)])
        stream._database._writer.execute("PRAGMA auto_vacuum = NONE")
        stream._database._writer.execute("VACUUM")
        stream._database._writer.execute("DELETE FROM records")
        free = stream._database._free_pages()
        assert free
        shrinking = threading.Thread(target=stream.shrink, daemon=True)
        shrinking.start()
        shrinking.join(20)
        assert not shrinking.is_alive()
        assert stream._database._free_pages() == free
