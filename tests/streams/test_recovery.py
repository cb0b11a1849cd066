"""A database put back from a copy that is older than its archive: nothing is lost, overwritten or stored twice."""

import logging
import multiprocessing
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from tailorbird.errors import TailorbirdError
from tailorbird.streams.compaction import compact
from tailorbird.streams.position import BEGINNING, Position
from tailorbird.streams.sqlite import SqliteStream
from tests.streams.embedded import event, open_at


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the database with m0 to m99, beside an archive with m0 to m199."""
    with open_at(tmp_path) as stream:
        stream.append([event(number) for number in range(100)])
        stream.shrink()
        shutil.copy(stream.path, tmp_path / "copy")
        for start in (100, 150):
            compact(stream)
            stream.append([event(number) for number in range(start, start + 50)])
        compact(stream)
    shutil.move(tmp_path / "copy", tmp_path / "events.db")
    return tmp_path


def keys(stream: SqliteStream) -> list[str]:
    return [entry.record.message_id for entry in stream.read(BEGINNING, limit=1_000).entries]


def names(*numbers: int) -> list[str]:
    return [f"m{number}" for number in numbers]


def test_new_records_go_on_past_the_archive(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), open_at(folder) as stream:
        assert stream.end() == Position({0: 200})
        stored = stream.append([event(number) for number in range(200, 250)])
        assert [entry.offset for entry in stored.entries] == list(range(201, 251))
        compact(stream)
        assert keys(stream) == names(*range(250))
        assert stream.find("m210") == event(210)
    assert "offset 201, 100 archived records are known again" in caplog.text
    caplog.clear()
    with open_at(folder):
        assert not caplog.records


def test_what_was_archived_after_the_copy_is_known(folder: Path) -> None:
    with open_at(folder) as stream:
        assert stream.append([event(number) for number in range(50, 205)]).duplicates == 150
        assert [stream.find(f"m{number}") for number in (99, 100, 199)] == [event(99), event(100), event(199)]
        assert keys(stream) == names(*range(205))


def test_who_was_forgotten_after_the_copy_stays_forgotten(folder: Path) -> None:
    shutil.copy(folder / "events.db", folder / "copy")
    with open_at(folder) as stream:
        assert stream.forget("user:user-1") == 67
    shutil.move(folder / "copy", folder / "events.db")
    with open_at(folder) as stream:
        assert keys(stream) == names(*(number for number in range(200) if number % 3 != 1))
        assert stream.find("m1") is stream.find("m199") is None


def write_without_the_archive(folder: Path, *, last: int) -> list[str]:
    """Store records at offsets that the archive gives to others; some of them it holds. What then counts, in any order."""
    shutil.copy(folder / "events.db", folder / "copy")
    with open_at(folder) as stream:
        stream.forget("user:user-1")
    with open_at(folder) as stream:
        kept = keys(stream)
    shutil.move(folder / "archive", folder / "away")
    database = folder / "events.db"
    database.unlink()
    shutil.copy(folder / "copy", database)
    with open_at(folder) as stream:
        stream.append([event(number) for number in (101, 300, 102, 105, *range(301, last))])
    shutil.move(folder / "away", folder / "archive")
    return sorted([*kept, *names(300, *range(301, last))])


@pytest.mark.parametrize("last", [330, 430])  # before and past the archive's end
def test_records_at_offsets_of_archived_ones_move_to_the_end(folder: Path, last: int) -> None:
    expected = write_without_the_archive(folder, last=last)
    with open_at(folder) as stream:
        for _ in range(2):
            compact(stream)
            assert sorted(keys(stream)) == expected
            assert all(stream.find(key).message_id == key for key in expected)  # type: ignore[union-attr]
        assert (
            stream.append([event(number) for number in (101, 102, 105, 198, 300, last - 1)]).duplicates == 6
        )


@pytest.mark.parametrize("write", range(7))
@pytest.mark.parametrize("after", [False, True])
def test_a_recovery_may_be_interrupted_anywhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch, write: int, after: bool
) -> None:
    expected = write_without_the_archive(folder, last=430)
    monkeypatch.setattr("tailorbird.streams.recovery._SLICE", 30)
    with open_at(folder) as stream, monkeypatch.context() as patched:
        original, writes = stream._database.transaction, iter(range(100))

        @contextmanager
        def transaction():
            number = next(writes)
            if number == write and not after:
                raise KeyboardInterrupt
            with original() as connection:
                yield connection
            if number == write and after:
                raise KeyboardInterrupt

        patched.setattr(stream._database, "transaction", transaction)
        with pytest.raises(KeyboardInterrupt):
            compact(stream)
        for number in (0, 101, 103, 150, 300, 429):
            found = stream.find(f"m{number}")
            assert found is None or found == event(number)
    with open_at(folder) as stream:
        compact(stream)
        assert sorted(keys(stream)) == expected


def _append(folder: Path, number: int) -> int:
    with open_at(folder, wait_seconds=30) as stream:
        return stream.append([event(number), event(150)]).entries[0].offset


def test_processes_that_open_the_copy_together_give_no_offset_twice(folder: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        offsets = pool.starmap(_append, [(folder, number) for number in (200, 201, 202)])
    assert sorted(offsets) == [201, 202, 203]
    with open_at(folder) as stream:
        compact(stream)
        assert sorted(keys(stream)) == sorted(names(*range(203)))


def test_a_copy_beside_an_archive_that_cannot_be_read_is_refused(folder: Path) -> None:
    for file in (folder / "archive").glob("*.parquet"):
        file.unlink()
    with pytest.raises(TailorbirdError, match=r"cannot be read.*restore"):
        open_at(folder)


def test_skipped_offsets_are_given_to_nobody(tmp_path: Path) -> None:
    with open_at(tmp_path) as stream:
        stream.append([event(0)])
        stream.skip(Position({0: 40}))
        stream.skip(Position({0: 20}))
        stored = stream.append([event(1), event(2)])
        assert [entry.offset for entry in stored.entries] == [41, 42]
        compact(stream)
        assert keys(stream) == names(0, 1, 2)
