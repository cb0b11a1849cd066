import tempfile
import threading
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tailorbird.errors import TailorbirdError
from tailorbird.events.archive import ReadAhead
from tailorbird.events.compaction import compact, log_files, read_log
from tailorbird.events.log import SqliteEventLog
from tailorbird.events.schema import SCHEMA
from tailorbird.settings import Settings
from tests.events.laws import event


@pytest.fixture
def log(tmp_path: Path):
    with SqliteEventLog(tmp_path / "events.db") as log:
        yield log


def ids(folder: Path, **bounds) -> list[str]:
    return read_log(folder, **bounds)["message_id"].tolist()


def test_compacted_events_lie_in_the_folder_of_their_day(log: SqliteEventLog, tmp_path: Path) -> None:
    log.append([event(number) for number in range(48)])  # one an hour from 2023-11-14 22:13 UTC
    done = compact(log, tmp_path / "log")
    assert (done.events, done.files) == (48, 3)
    assert sorted(path.name for path in (tmp_path / "log").glob("day=*")) == [
        "day=2023-11-14",
        "day=2023-11-15",
        "day=2023-11-16",
    ]
    for path in (tmp_path / "log").glob("day=*/*.parquet"):
        table = pq.read_table(path)
        assert table.schema.names[1:] == SCHEMA.names
        assert {str(value.date()) for value in table["event_time"].to_pylist()} == {path.parent.name[4:]}


def test_read_log_joins_parquet_and_tail_sorted_by_time(log: SqliteEventLog, tmp_path: Path) -> None:
    log.append([event(number) for number in (5, 3, 9)])
    compact(log, tmp_path / "log")
    log.append([event(1), event(7), event(20, user_id=None, anonymous_id="x")])
    frame = read_log(tmp_path)
    assert frame["message_id"].tolist() == ["m1", "m3", "m5", "m7", "m9", "m20"]
    assert list(frame.columns) == ["offset", *SCHEMA.names, "user_key"]
    assert frame["user_key"].tolist() == [
        "user:user-1",
        "user:user-0",
        "user:user-2",
        "user:user-1",
        "user:user-0",
        "anon:x",
    ]
    assert str(frame["event_time"].dtype) == "datetime64[us, UTC]"
    assert frame["event_time"].iloc[0] == pd.Timestamp(1_700_003_600_000_001, unit="us", tz="UTC")


def test_equal_times_follow_the_order_of_arrival(log: SqliteEventLog, tmp_path: Path) -> None:
    log.append([event(number, event_time=1e9) for number in (3, 1)])
    compact(log, tmp_path / "log")
    log.append([event(2, event_time=1e9)])
    assert ids(tmp_path) == ["m3", "m1", "m2"]


def test_bounds_and_types_cut_both_halves(log: SqliteEventLog, tmp_path: Path) -> None:
    log.append([event(0), event(1, type="view"), event(30)])
    compact(log, tmp_path / "log")
    log.append([event(31), event(32, type="purchase"), event(60)])
    start, end = event(1).event_time, event(60).event_time
    assert ids(tmp_path, start=start, end=end) == ["m1", "m30", "m31", "m32"]
    assert ids(tmp_path, start=start, end=end, types=["view", "purchase"]) == ["m1", "m32"]
    assert ids(tmp_path, types=[]) == []
    assert ids(tmp_path, end=event(0).event_time) == []


def test_a_message_id_stays_known_after_compaction(log: SqliteEventLog, tmp_path: Path) -> None:
    log.append([event(1)])
    compact(log, tmp_path / "log")
    assert log.append([event(1), event(2)]).duplicates == 1
    assert ids(tmp_path) == ["m1", "m2"]


def test_compacting_again_changes_nothing(log: SqliteEventLog, tmp_path: Path) -> None:
    log.append([event(number) for number in range(30)])
    compact(log, tmp_path / "log")
    before = {path: path.stat().st_mtime_ns for path in log_files(tmp_path)}
    assert compact(log, tmp_path / "log").events == 0
    assert {path: path.stat().st_mtime_ns for path in log_files(tmp_path)} == before
    assert len(ids(tmp_path)) == 30


def test_the_database_shrinks_when_events_move(log: SqliteEventLog, tmp_path: Path) -> None:
    log.append([event(number, properties={"text": "x" * 500}) for number in range(2000)])
    log._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    before = (tmp_path / "events.db").stat().st_size
    compact(log, tmp_path / "log")
    assert (tmp_path / "events.db").stat().st_size < before / 4


@pytest.mark.parametrize(
    "crash_at", ["pq.write_table", "shutil.rmtree", "_sync", "replace", "forget_through"]
)
@pytest.mark.parametrize("call", [1, 2])
def test_a_crash_at_any_step_loses_and_doubles_nothing(
    log: SqliteEventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crash_at: str, call: int
) -> None:
    log.append([event(number) for number in range(20)])
    compact(log, tmp_path / "log")
    log.append([event(number) for number in range(20, 60)])
    expected = [f"m{number}" for number in range(60)]

    target = {
        "pq.write_table": "tailorbird.events.archive.pq.write_table",
        "shutil.rmtree": "tailorbird.events.archive.shutil.rmtree",
        "_sync": "tailorbird.events.archive._sync",
        "replace": "pathlib.Path.replace",
        "forget_through": "tailorbird.events.log.SqliteEventLog.forget_through",
    }[crash_at]
    module, name = target.rsplit(".", 1)
    original = _resolve(module, name)
    calls = [0]

    def crash(*arguments, **options):
        calls[0] += 1
        if calls[0] == call or crash_at == "forget_through":
            raise KeyboardInterrupt
        return original(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(target, crash)
        with pytest.raises(KeyboardInterrupt):
            compact(log, tmp_path / "log")
    assert calls[0] >= 1
    assert ids(tmp_path) == expected
    assert [one.message_id for _, one in log.read(0, 100)] == expected
    log.append([event(60)])  # the log goes on before anyone repairs
    assert compact(log, tmp_path / "log").events == 41
    assert ids(tmp_path) == [*expected, "m60"]
    assert [one.message_id for _, one in log.read(0, 100)] == [*expected, "m60"]
    assert sum(pq.read_metadata(path).num_rows for path in log_files(tmp_path)) == 61
    assert not (tmp_path / "log" / ".staging").exists()


def _resolve(module: str, name: str):
    parts = module.split(".")
    thing = __import__(parts[0])
    for part in parts[1:]:
        thing = getattr(thing, part)
    return getattr(thing, name)


def test_events_that_arrive_while_compacting_stay(log: SqliteEventLog, tmp_path: Path) -> None:
    log.append([event(number) for number in range(100)])

    def write() -> None:
        with SqliteEventLog(tmp_path / "events.db") as other:
            for number in range(100, 160):
                other.append([event(number)])

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        compact(log, tmp_path / "log")
        assert len(set(ids(tmp_path))) == len(ids(tmp_path))
    writer.join()
    compact(log, tmp_path / "log")
    assert sorted(ids(tmp_path)) == sorted(f"m{number}" for number in range(160))


def test_a_lost_part_of_the_archive_is_noticed(log: SqliteEventLog, tmp_path: Path) -> None:
    log.append([event(1)])
    compact(log, tmp_path / "log")
    log.append([event(2)])
    compact(log, tmp_path / "log")
    log_files(tmp_path)[0].unlink()
    with pytest.raises(TailorbirdError, match="lacks the events from offset 1 to 2"):
        read_log(tmp_path)
    with pytest.raises(TailorbirdError, match="restore"):
        log.read(0, 10)


def test_a_damaged_file_is_named(log: SqliteEventLog, tmp_path: Path) -> None:
    log.append([event(1)])
    compact(log, tmp_path / "log")
    file = log_files(tmp_path)[0]
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(TailorbirdError, match=r"cannot be read.*day=2023-11-14"):
        read_log(tmp_path)


def test_another_folder_than_the_logs_own_is_refused(log: SqliteEventLog, tmp_path: Path) -> None:
    log.append([event(1)])
    with pytest.raises(TailorbirdError, match="archive="):
        compact(log, tmp_path / "elsewhere")
    assert ids(tmp_path) == ["m1"]


def test_a_workspace_without_events_reads_as_an_empty_frame(settings: Settings) -> None:
    frame = read_log(settings)
    assert len(frame) == 0
    assert "user_key" in frame
    assert not settings.event_db.exists()


def test_settings_the_workspace_and_its_log_folder_name_the_same_log(settings: Settings) -> None:
    with SqliteEventLog(settings.event_db) as log:
        log.append([event(1)])
        compact(log, settings.log_folder)
    for source in (settings, settings.folder, settings.log_folder):
        assert len(read_log(source)) == 1


@hypothesis_settings(max_examples=25, deadline=None)
@given(
    st.lists(st.one_of(st.just("compact"), st.lists(st.integers(0, 40), max_size=6)), max_size=12),
    st.integers(1, 7),
    st.integers(1, 20),
)
def test_reading_page_by_page_gives_every_event_once_whatever_was_compacted(
    steps, page: int, stride: int
) -> None:
    with tempfile.TemporaryDirectory() as name, SqliteEventLog(Path(name) / "events.db") as log:
        expected: dict[str, None] = {}
        for step in steps:
            if step == "compact":
                compact(log, Path(name) / "log")
            else:
                log.append([event(number) for number in step])
                expected.update(dict.fromkeys(f"m{number}" for number in step))
        log._archive = ReadAhead(log.archive, stride=stride)
        read, after = [], 0
        while batch := log.read(after, page):
            assert len(batch) <= page
            read += batch
            after = batch[-1][0]
        assert [offset for offset, _ in read] == list(range(1, len(expected) + 1))
        assert [one.message_id for _, one in read] == list(expected)
        assert sorted(read_log(Path(name))["message_id"]) == sorted(expected)
