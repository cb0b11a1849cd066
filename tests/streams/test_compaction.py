"""Compaction loses and doubles nothing: interrupted anywhere, killed at any instant, while others write and read."""

import functools
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import deltalake
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tailorbird.errors import TailorbirdError
from tailorbird.events.rows import EVENTS
from tailorbird.plumbing.alone import alone
from tailorbird.streams.codec import PLACE
from tailorbird.streams.compaction import compact, compact_regularly
from tailorbird.streams.position import BEGINNING, Position
from tailorbird.streams.sqlite import SqliteStream
from tests.streams.embedded import event, open_at
from tests.streams.laws import journey

_SCANNED = pa.schema([*PLACE, EVENTS.schema.field("message_id")])


@pytest.fixture
def stream(tmp_path: Path):
    with open_at(tmp_path) as stream:
        yield stream


def ids(stream: SqliteStream) -> list[str]:
    """Every message id, read as records; a scan finds the same."""
    read = [entry.record.message_id for entry in journey(stream, page=1_000)]
    scanned = pa.Table.from_batches(stream.scan(columns=["message_id"]), schema=_SCANNED)
    assert scanned["message_id"].to_pylist() == read
    return read


def test_what_was_archived_is_gone_from_the_database_which_shrinks(stream: SqliteStream) -> None:
    stream.append([event(number, properties={"text": "x" * 500}) for number in range(2000)])
    stream._database._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    before = stream.path.stat().st_size
    done = compact(stream)
    assert (done.records, done.commits) == (2000, 1)
    assert stream.path.stat().st_size < before / 4
    assert len(ids(stream)) == 2000
    assert compact(stream).records == 0


@pytest.mark.parametrize(
    "step",
    [
        "sqlite.SqliteStream.sync",
        "archive.Archive.append",
        "delta.ArchiveTable.sync",
        "sqlite.SqliteStream.drop_through",
        "sqlite.SqliteStream._drop_leftovers",
        "archive.Archive.merge",
        "archive.Archive._replace",
        "sqlite.SqliteStream.shrink",
    ],
)
@pytest.mark.parametrize("after", [False, True])
def test_an_interruption_before_or_after_any_step_costs_nothing(
    stream: SqliteStream, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    for start in range(0, 70, 10):  # small files, so that the next run joins them
        stream.append([event(number) for number in range(start, start + 10)])
        compact(stream)
    stream.append([event(number) for number in range(70, 80)])
    expected = [f"m{number}" for number in range(80)]
    module, cls, name = step.split(".")
    owner = getattr(sys.modules[f"tailorbird.streams.{module}"], cls)
    original = getattr(owner, name)

    def interrupt(*arguments, **options):
        if after:
            original(*arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, interrupt)
        with pytest.raises(KeyboardInterrupt):
            compact(stream)
    assert ids(stream) == expected
    stream.append([event(80), event(3)])  # the stream goes on before anyone repairs
    compact(stream)
    assert ids(stream) == [*expected, "m80"]
    assert sum(stretch.rows for stretch in stream.archive.stretches()) == 81
    assert stream.forget("user:user-1") == 27


def test_small_files_are_joined_and_the_big_ones_left(stream: SqliteStream, monkeypatch) -> None:
    monkeypatch.setattr("tailorbird.streams.archive.FILE_ROWS", 100)
    for start in range(0, 300, 10):
        stream.append([event(number) for number in range(start, start + 10)])
        compact(stream)
    stretches = stream.archive.stretches()
    assert len(stretches) < 12
    assert max(stretch.rows for stretch in stretches) <= 100
    assert ids(stream) == [f"m{number}" for number in range(300)]
    assert len({path for stretch in stretches for path in stretch.paths}) == len(stretches)


def test_a_stream_to_which_something_is_always_added_is_compacted_to_where_it_was(
    stream: SqliteStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    archived, numbers = stream.archive.append, iter(range(100, 150))

    def append(rows: pa.Table) -> None:
        stream.append([event(next(numbers))])
        archived(rows)

    monkeypatch.setattr(stream.archive, "append", append)
    stream.append([event(number) for number in range(100)])
    assert compact(stream).records == 100
    assert ids(stream) == [f"m{number}" for number in range(101)]


def test_records_that_arrive_while_compacting_stay(stream: SqliteStream, tmp_path: Path) -> None:
    def write() -> None:
        with open_at(tmp_path) as other:
            for number in range(100, 160):
                other.append([event(number)])

    stream.append([event(number) for number in range(100)])
    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        compact(stream)
        found = ids(stream)
        assert len(set(found)) == len(found) >= 100
    writer.join()
    compact(stream)
    assert ids(stream) == [f"m{number}" for number in range(160)]


def test_a_reader_goes_on_where_files_are_joined_and_forgotten_under_it(stream: SqliteStream) -> None:
    for start in range(0, 70, 10):
        stream.append([event(number) for number in range(start, start + 10)])
        compact(stream)
    reading = stream.scan(columns=["message_id", "user_key"])
    found = [next(reading)]
    stream.append([event(number) for number in range(70, 80)])
    compact(stream)  # joins all that is past the first file into one
    assert stream.forget("user:user-1") == 27  # and deletes the files that the reader knew
    found += list(reading)
    table = pa.Table.from_batches(found)
    assert table["message_id"].to_pylist() == [
        f"m{number}" for number in range(70) if number < 10 or number % 3 != 1
    ]


WRITER = """
import sys, threading
from pathlib import Path
from tailorbird.streams.compaction import compact
from tests.streams.embedded import event, open_at
folder, first = Path(sys.argv[1]), int(sys.argv[2])
stream = open_at(folder)

def compact_on():
    with open_at(folder) as own:
        while True:
            compact(own)

threading.Thread(target=compact_on, daemon=True).start()
for number in range(first, first + 1_000_000, 20):
    stream.append([event(each) for each in range(number, number + 20)])
    print(number + 20, flush=True)
"""
ROUNDS = 6


@pytest.mark.slow
def test_a_kill_at_any_instant_loses_and_doubles_nothing(tmp_path: Path) -> None:
    random_instant = random.Random(5)
    acknowledged = 0
    for _ in range(ROUNDS):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(acknowledged)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(random_instant.uniform(0, 0.6))
        process.send_signal(signal.SIGKILL)
        lines = [first, *process.stdout.read().splitlines()]
        process.stdout.close()
        process.wait()
        acknowledged = int(lines[-1])
        with open_at(tmp_path) as stream:
            found = ids(stream)
        assert found[:acknowledged] == [f"m{number}" for number in range(acknowledged)]
        assert len(found) in (acknowledged, acknowledged + 20)  # the one whose answer the kill cut off
    with open_at(tmp_path) as stream:
        compact(stream)
        assert len(set(ids(stream))) == len(ids(stream)) >= acknowledged
        assert stream.archive.through() == stream.end()[0]


def test_the_loop_moves_what_has_grown_or_waited_long_and_leaves_a_busy_archive_alone(
    stream: SqliteStream, tmp_path: Path
) -> None:
    now = [0.0]
    stop = threading.Event()
    loop = threading.Thread(
        target=compact_regularly,
        args=([stream],),
        kwargs={
            "stop": stop,
            "every_seconds": 0.01,
            "most_live": 10,
            "longest_seconds": 900.0,
            "clock": lambda: now[0],
        },
    )
    with alone(stream.archive_lock):
        stream.append([event(0)])
        loop.start()
        time.sleep(0.1)
        assert stream.compacted() == 0  # somebody else holds the archive
    now[0] = 901.0
    wait_until(lambda: stream.compacted() == 1)
    stream.append([event(1)])
    time.sleep(0.1)
    assert stream.compacted() == 1  # few, and not old
    stream.append([event(number) for number in range(2, 12)])
    wait_until(lambda: stream.compacted() == 12)
    stop.set()
    loop.join(10)
    assert not loop.is_alive()


def wait_until(true, *, seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_lost_or_damaged_file_is_named(stream: SqliteStream) -> None:
    stream.append([event(number) for number in range(10)])
    compact(stream)
    (file,) = stream.archive.stretches()[0].paths
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    with pytest.raises(TailorbirdError, match=r"cannot be read.*restore"):
        stream.read(BEGINNING)
    file.unlink()
    with pytest.raises(TailorbirdError, match=r"cannot be read.*restore"):
        list(stream.scan())
    file.write_bytes(whole)
    assert len(ids(stream)) == 10


def test_a_scan_opens_only_the_files_of_its_time(stream: SqliteStream) -> None:
    for start in (0, 100, 200):
        stream.append([event(number) for number in range(start, start + 100)])
        compact(stream)
    first, _, third = stream.archive.stretches()
    for stretch in (first, third):
        stretch.paths[0].unlink()
    inside = [("event_time", ">=", event(110).event_time), ("event_time", "<", event(120).event_time)]
    (batch,) = stream.scan(columns=["message_id"], where=inside)
    assert batch["message_id"].to_pylist() == [f"m{number}" for number in range(110, 120)]
    assert stream.find("m150") == event(150)


def test_other_programs_read_the_archive(stream: SqliteStream) -> None:
    duckdb = pytest.importorskip("duckdb")
    deltalake = pytest.importorskip("deltalake")
    stream.append([event(number) for number in range(30)])
    compact(stream)
    archive = deltalake.DeltaTable(stream.archive.folder).to_pyarrow_dataset()
    rows = duckdb.sql("SELECT user_key, count(*) AS events FROM archive GROUP BY 1 ORDER BY 1").fetchall()
    assert rows == [("user:user-0", 10), ("user:user-1", 10), ("user:user-2", 10)]
    assert archive.count_rows() == 30


@hypothesis_settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.one_of(st.sampled_from(["compact", "forget"]), st.lists(st.integers(0, 40), max_size=6)),
        max_size=12,
    ),
    st.integers(1, 7),
    st.integers(1, 20),
)
def test_reading_page_by_page_gives_every_record_once_whatever_was_done_between(
    tmp_path_factory, steps, page: int, stride: int
) -> None:
    with pytest.MonkeyPatch.context() as patched, open_at(tmp_path_factory.mktemp("stream")) as stream:
        patched.setattr("tailorbird.streams.archived.STRIDE_ROWS", stride)
        kept: dict[str, None] = {}
        known: set[int] = set()
        for step in steps:
            if step == "compact":
                compact(stream)
            elif step == "forget":
                stream.forget("user:user-1")
                kept = {key: None for key in kept if int(key[1:]) % 3 != 1}
            else:
                stream.append([event(number) for number in step])
                kept.update(dict.fromkeys(f"m{number}" for number in step if number not in known))
                known.update(step)
        entries = journey(stream, page=page)
        assert [entry.record.message_id for entry in entries] == list(kept)
        offsets = [entry.offset for entry in entries]
        assert offsets == sorted(set(offsets))
        assert ids(stream) == list(kept)
        assert stream.end() == (Position({0: len(known)}) if known else BEGINNING)


def test_a_forgotten_person_is_not_among_the_rows_held_for_the_next_page(
    stream: SqliteStream, monkeypatch
) -> None:
    monkeypatch.setattr("tailorbird.streams.archived.STRIDE_ROWS", 200)
    stream.append([event(number) for number in range(60)])
    compact(stream)
    first = stream.read(BEGINNING, limit=20)
    with SqliteStream(stream.path, stream.codec, archive=stream.archive.folder) as other:
        other.forget("user:user-1")
    rest = journey(stream, page=20, after=first.position)
    assert {entry.record.user_id for entry in rest} == {"user-0", "user-2"}
    assert len(rest) == 27


def test_every_file_of_a_commit_is_on_the_disk(stream: SqliteStream, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: set[Path] = set()
    configuration = {**stream.archive._table._configuration(), "delta.checkpointInterval": "1"}
    small = functools.partial(deltalake.write_deltalake, target_file_size=1_000)
    monkeypatch.setattr("deltalake.write_deltalake", small)
    monkeypatch.setattr(stream.archive._table, "_configuration", lambda: configuration)
    monkeypatch.setattr("tailorbird.streams.delta.fsync", synced.add)
    for start in (0, 1_100):
        stream.append([event(number) for number in range(start, start + 1_100)])
        compact(stream)
    files = {path for path in stream.archive.folder.rglob("*") if path.is_file()}
    assert len([path for path in files if path.parent == stream.archive.folder]) == 4
    assert any("checkpoint" in path.name for path in files)
    assert files <= synced


@pytest.mark.parametrize("someone_reads", [False, True])
def test_a_power_cut_after_the_archives_commit_costs_nothing_that_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, someone_reads: bool
) -> None:
    synced: set[Path] = set()
    monkeypatch.setattr("tailorbird.streams.database.fsync", synced.add)
    live, disk = tmp_path / "live", tmp_path / "disk"
    disk.mkdir()

    def cut(offset: int) -> None:
        for path in (live / "events.db", *(path for path in synced if path.is_file())):
            shutil.copy(path, disk)
        shutil.copytree(live / "archive", disk / "archive")
        raise KeyboardInterrupt

    with open_at(live, durable=False) as stream:
        stream.append([event(number) for number in range(50)])
        stream.shrink()
        reader = sqlite3.connect(stream.path, isolation_level=None)
        if someone_reads:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM state").fetchall()
        stream.append([event(number) for number in range(50, 90)])  # in the write-ahead file alone
        monkeypatch.setattr(stream, "drop_through", cut)
        with pytest.raises(KeyboardInterrupt):
            compact(stream)
        reader.close()
    monkeypatch.undo()
    assert bool(synced) == someone_reads
    with sqlite3.connect(disk / "events.db") as connection:
        assert connection.execute("SELECT last_offset FROM state").fetchone() == (90,)
    connection.close()
    with open_at(disk, durable=False) as stream:
        stream.append([event(number) for number in range(90, 100)])
        compact(stream)
        assert ids(stream) == [f"m{number}" for number in range(100)]
