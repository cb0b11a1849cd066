"""The factory opens what the settings name; a log of format 1 is brought along, whole."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.events.rows import EVENTS
from tailorbird.events.schema import SCHEMA
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.compaction import compact
from tailorbird.streams.factory import open_events, open_exposures
from tailorbird.streams.position import BEGINNING, Position
from tailorbird.streams.scan import read_log, scan
from tests.streams.embedded import event
from tests.streams.records import exposure

FORMAT_1 = """
CREATE TABLE messages (message_id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE events (
    "offset" INTEGER PRIMARY KEY, message_id TEXT NOT NULL, type TEXT NOT NULL, user_id TEXT, anonymous_id TEXT,
    session_id TEXT, item_id TEXT, recommendation_id TEXT, position INTEGER, value REAL,
    event_time INTEGER NOT NULL, received_time INTEGER NOT NULL, context TEXT, properties TEXT
);
CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), last_offset INTEGER NOT NULL, compacted_offset INTEGER NOT NULL);
"""


def old_log(settings: Settings, *, events: int, compacted: int) -> None:
    """Write what a program of format 1 left: offsets 1 to ``compacted`` in Parquet by day, the rest in SQLite."""
    settings.folder.mkdir(parents=True)
    rows = [EVENTS.to_row(one(number))[:-1] for number in range(events)]
    connection = sqlite3.connect(settings.folder / "events.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(FORMAT_1 + "PRAGMA user_version = 1;")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO messages VALUES (?)", [(row[0],) for row in rows])
    marks = ", ".join("?" * 14)
    live = [(offset, *row) for offset, row in enumerate(rows, start=1) if offset > compacted]
    connection.executemany(f"INSERT INTO events VALUES ({marks})", live)
    connection.execute("INSERT INTO state VALUES (1, ?, ?)", (events, compacted))
    connection.execute("COMMIT")
    connection.close()
    for part, start in enumerate(range(0, compacted, 10)):
        for odd in (0, 1):  # two days of one compaction
            numbers = [number for number in range(start, start + 10) if number % 2 == odd]
            table = EVENTS.table_of_rows([EVENTS.to_row(one(number)) for number in numbers])
            offsets = pa.array([number + 1 for number in numbers], pa.int64())
            table = table.drop_columns("user_key").add_column(0, "offset", offsets)
            folder = settings.folder / "log" / f"day=2023-11-{10 + odd}"
            folder.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, folder / f"{part * 10 + 1:012d}-{part * 10 + 10:012d}.parquet")


def one(number: int):
    """Events of people with names and without."""
    return event(number, user_id=None, anonymous_id=f"a{number}") if number % 4 == 0 else event(number)


def test_both_streams_keep_what_they_are_given(settings: Settings) -> None:
    with open_events(settings) as events, open_exposures(settings) as exposures:
        events.append([event(1)])
        exposures.append([exposure(1)])
        assert events.find("m1") == event(1)
        assert exposures.find("r1") == exposure(1)


def test_events_wait_for_the_disk_and_exposures_do_not(settings: Settings) -> None:
    with open_events(settings) as events, open_exposures(settings) as exposures:
        levels = [
            stream._database._writer.execute("PRAGMA synchronous").fetchone()[0]
            for stream in (events, exposures)
        ]
    assert levels == [2, 1]


def test_an_engine_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, events="rabbit://somewhere")
    with pytest.raises(UsageError, match=r"there is no engine 'rabbit'.*TAILORBIRD_EVENTS.*sqlite"):
        open_events(settings)


def test_a_log_of_format_1_is_brought_along_whole(settings: Settings) -> None:
    old_log(settings, events=47, compacted=40)
    with open_events(settings) as stream:
        assert [entry.record for entry in stream.read(BEGINNING).entries] == [one(n) for n in range(47)]
        assert [entry.offset for entry in stream.read(BEGINNING).entries] == list(range(1, 48))
        assert stream.append([one(3), one(45), one(47)]).duplicates == 2
        assert stream.forget("anon:a8") == 1
    frame = read_log(settings, columns=["message_id", "user_key"])
    expected = {f"m{n}": one(n).user_key for n in range(48) if n != 8}
    assert dict(zip(frame["message_id"], frame["user_key"], strict=True)) == expected
    assert (settings.folder / "events.format1.db").exists()


def test_an_interrupted_upgrade_begins_anew(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    old_log(settings, events=30, compacted=20)
    for step in ("compact", "os.link"):
        with monkeypatch.context() as patched:

            def interrupt(*arguments, **options):
                raise KeyboardInterrupt

            patched.setattr(f"tailorbird.streams.upgrade.{step}", interrupt)
            with pytest.raises(KeyboardInterrupt):
                open_events(settings)
    with open_events(settings) as stream:
        assert len(stream.read(BEGINNING).entries) == 30


def test_an_old_log_that_lost_a_part_is_not_upgraded_and_stays(settings: Settings) -> None:
    old_log(settings, events=30, compacted=20)
    next((settings.folder / "log").glob("day=*/*.parquet")).unlink()
    for _ in range(2):
        with pytest.raises(TailorbirdError, match=r"holds 25 of its 30 events.*restore"):
            open_events(settings)


def test_an_old_log_that_is_in_use_is_left_alone(settings: Settings) -> None:
    old_log(settings, events=5, compacted=0)
    hold = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM state').fetchone(); print(1, flush=True); input()"
    path = settings.folder / "events.db"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(TailorbirdError, match="another process has it open"):
            open_events(settings)
        other.communicate("\n")
    with open_events(settings) as stream:
        assert len(stream.read(BEGINNING).entries) == 5


def test_a_workspace_without_events_reads_as_an_empty_frame_and_is_not_made(settings: Settings) -> None:
    frame = read_log(settings)
    assert len(frame) == 0
    assert "user_key" in frame
    assert not settings.folder.exists()


def test_a_frame_joins_archive_and_live_part_sorted_by_time(settings: Settings) -> None:
    with open_events(settings) as stream:
        stream.append([event(number) for number in (5, 3, 9)])
        compact(stream)
        stream.append([event(1), event(7), event(20, user_id=None, anonymous_id="x")])
        stream.append([event(30, event_time=event(3).event_time)])
    frame = read_log(settings)
    assert frame["message_id"].tolist() == ["m1", "m3", "m30", "m5", "m7", "m9", "m20"]
    assert list(frame.columns) == ["partition", "offset", *SCHEMA.names, "user_key"]
    assert frame["user_key"].tolist()[-1] == "anon:x"
    assert str(frame["event_time"].dtype) == "datetime64[us, UTC]"
    times = {"start": event(1).event_time, "end": event(9).event_time}
    assert read_log(settings, columns=["message_id"], **times)["message_id"].tolist() == [
        "m1",
        "m3",
        "m30",
        "m5",
        "m7",
    ]
    assert read_log(settings, types=["view"]).empty
    assert len(read_log(settings, through=Position({0: 4}))) == 4
    late = {"received_before": event(7).received_time}
    found = pa.Table.from_batches(scan(settings, columns=["message_id"], **late))
    assert sorted(found["message_id"].to_pylist()) == ["m1", "m3", "m5"]
