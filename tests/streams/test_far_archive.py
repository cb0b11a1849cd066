"""The laws hold where the archive lies in an object store; two writers never replace each other's commit."""

from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest

from tailorbird.errors import TailorbirdError
from tailorbird.events.rows import EVENTS
from tailorbird.plumbing.objects import ObjectPath, delta_options
from tailorbird.streams.compaction import compact
from tailorbird.streams.position import BEGINNING
from tailorbird.streams.sqlite import SqliteStream
from tailorbird.streams.stream import Refuses, Stream, nobody
from tests.streams import test_engines
from tests.streams.embedded import event
from tests.streams.records import KINDS, Kind


class TestStreamWithAFarArchive(test_engines.TestArchivedSqliteStream):
    @pytest.fixture
    def kind(self, storage: str) -> Kind:
        self.storage = storage
        return KINDS["events"]

    def open(self, folder: Path, kind: Kind, *, refuses: Refuses = nobody) -> Stream[Any]:
        archive = ObjectPath(self.storage) / "events"
        return SqliteStream(folder / "live.db", kind.codec, archive=archive, refuses=refuses)


def test_what_was_archived_lies_in_the_bucket_and_a_forgotten_person_does_not(
    storage: str, tmp_path: Path
) -> None:
    folder = ObjectPath(storage) / "events"
    with SqliteStream(tmp_path / "live.db", EVENTS, archive=folder) as stream:
        stream.append([event(n) for n in range(30)])
        compact(stream)
        assert [path.name for path in tmp_path.rglob("*.parquet")] == []
        before = {path.name for path in folder.glob("*.parquet")}
        assert before
        assert stream.forget("user:user-1") == 10
        assert {path.name for path in folder.glob("*.parquet")}.isdisjoint(before)
        assert len(list(stream.scan())) > 0


def test_of_two_commits_at_once_none_is_lost(storage: str, tmp_path: Path) -> None:
    """Conditional put: whoever comes second writes the next version of the table's log."""
    from deltalake import DeltaTable, write_deltalake

    folder = ObjectPath(storage) / "events"
    with SqliteStream(tmp_path / "live.db", EVENTS, archive=folder) as stream:
        stream.append([event(0)])
        compact(stream)
        before = DeltaTable(str(folder), storage_options=delta_options()).version()
        rows = stream.archive.schema.empty_table()
        start = Barrier(4)

        def commit() -> None:
            for _ in range(3):
                start.wait()
                write_deltalake(str(folder), rows, mode="append", storage_options=delta_options())

        writers = [Thread(target=commit) for _ in range(4)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert DeltaTable(str(folder), storage_options=delta_options()).version() == before + 12


def test_a_bucket_that_is_not_there_is_named(storage: str, tmp_path: Path) -> None:
    with SqliteStream(tmp_path / "live.db", EVENTS, archive=ObjectPath("s3://no-such-bucket/x")) as stream:
        stream.append([event(0)])
        with pytest.raises(TailorbirdError, match="s3://no-such-bucket/x cannot be read or written"):
            compact(stream)
        assert [entry.record.message_id for entry in stream.read(BEGINNING, limit=9).entries] == ["m0"]
