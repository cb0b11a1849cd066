"""The laws of a stream: every engine has a test class that inherits these, for every kind of record."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from tailorbird.errors import TailorbirdError
from tailorbird.streams.factory import expire_stream
from tailorbird.streams.position import BEGINNING, Position
from tailorbird.streams.stream import Entry, Stream, StreamAwayError
from tests.streams.records import KINDS, Kind


def journey(stream: Stream[Any], *, page: int, after: Position = BEGINNING) -> list[Entry[Any]]:
    """Everything past ``after``, read page by page."""
    found: list[Entry[Any]] = []
    while chunk := stream.read(after, limit=page):
        assert len(chunk.entries) <= page
        found += chunk.entries
        assert chunk.position.reaches(after)
        after = chunk.position
    return found


class StreamLaws:
    """Inherit, and implement ``open`` so that opening twice finds the same records."""

    engine: ClassVar[type]

    def open(self, folder: Path, kind: Kind, **options: Any) -> Stream[Any]:
        raise NotImplementedError

    def settle(self, stream: Stream[Any]) -> None:
        """Do what the engine does in the background; a law holds before and after."""

    @pytest.fixture(params=KINDS)
    def kind(self, request: pytest.FixtureRequest) -> Kind:
        return KINDS[request.param]

    @pytest.fixture
    def stream(self, kind: Kind, tmp_path: Path) -> Iterator[Stream[Any]]:
        stream = self.open(tmp_path, kind)
        yield stream
        stream.close()

    def test_a_new_stream_is_empty(self, stream: Stream[Any]) -> None:
        assert stream.end() == BEGINNING
        assert not stream.read(BEGINNING)
        assert stream.read(BEGINNING).position == BEGINNING
        assert stream.lag(BEGINNING) == 0
        assert list(stream.scan()) == []
        assert stream.find("nothing") is None
        assert stream.forget("user:nobody") == 0

    def test_records_return_as_they_were_appended(self, stream: Stream[Any], kind: Kind) -> None:
        appended = stream.append(kind.full)
        assert [entry.record for entry in appended.entries] == list(kind.full)
        self.settle(stream)
        assert sorted(journey(stream, page=10), key=_place) == sorted(appended.entries, key=_place)

    def test_a_key_counts_once(self, stream: Stream[Any], kind: Kind) -> None:
        one, two = kind.record(1), kind.record(2)
        stream.append([one])
        self.settle(stream)
        again = stream.append([one, two, two])
        assert [entry.record for entry in again.entries] == [two]
        assert again.duplicates == 2
        assert sorted(entry.record.user_id for entry in journey(stream, page=10)) == ["user-1", "user-2"]

    def test_offsets_grow_within_a_partition_and_a_person_stays_in_one(
        self, stream: Stream[Any], kind: Kind
    ) -> None:
        records = [kind.record(number) for number in range(40)]
        appended = [*stream.append(records[:25]).entries, *stream.append(records[20:]).entries]
        self.settle(stream)
        assert [entry.record for entry in appended] == records
        found = journey(stream, page=7)
        for entries in (appended, found):
            last: dict[int, int] = {}
            for partition, offset, _ in entries:
                assert offset > last.get(partition, -1)
                last[partition] = offset
        homes = {(record.user_id, partition) for partition, _, record in found}
        assert len(homes) == len({user for user, _ in homes})
        assert stream.end() == Position(last)

    def test_reading_goes_on_after_a_position(self, stream: Stream[Any], kind: Kind) -> None:
        appended = stream.append([kind.record(number) for number in range(30)]).entries
        first = stream.read(BEGINNING, limit=11)
        self.settle(stream)
        assert len(first.entries) == 11
        assert stream.read(BEGINNING, limit=11).entries == first.entries
        rest = journey(stream, page=4, after=first.position)
        assert sorted([*first.entries, *rest], key=_place) == sorted(appended, key=_place)
        assert not stream.read(stream.end())
        assert stream.read(stream.end()).position == stream.end()
        assert not stream.read(first.position, limit=0)

    def test_lag_is_at_least_what_lies_ahead(self, stream: Stream[Any], kind: Kind) -> None:
        stream.append([kind.record(number) for number in range(30)])
        self.settle(stream)
        position, left = BEGINNING, 30
        while chunk := stream.read(position, limit=8):
            assert stream.lag(position) >= left
            position, left = chunk.position, left - len(chunk.entries)
        assert (stream.lag(position), left) == (0, 0)

    def test_a_record_that_cannot_be_stored_is_refused_with_its_batch(
        self, stream: Stream[Any], kind: Kind
    ) -> None:
        for bad in kind.bad:
            with pytest.raises(TailorbirdError) as caught:
                stream.append([kind.record(1), bad])
            assert not isinstance(caught.value, StreamAwayError)
        assert stream.end() == BEGINNING
        assert len(stream.append([kind.record(1)]).entries) == 1

    def test_records_outlive_the_stream_object(self, stream: Stream[Any], kind: Kind, tmp_path: Path) -> None:
        stream.append([kind.record(1)])
        self.settle(stream)
        stream.close()
        stream.close()
        for use in (lambda: stream.append([kind.record(2)]), lambda: stream.read(BEGINNING)):
            with pytest.raises(StreamAwayError, match="closed"):
                use()
        with self.open(tmp_path, kind) as again:
            assert [entry.record for entry in again.read(BEGINNING).entries] == [kind.record(1)]
            assert again.append([kind.record(1)]).duplicates == 1

    def test_a_table_and_single_records_store_the_same(self, stream: Stream[Any], kind: Kind) -> None:
        records = [kind.record(number) for number in range(20)]
        stream.append(records[:5])
        heard: list[int] = []
        rows = kind.codec.table_of_rows([kind.codec.to_row(record) for record in [*records, records[0]]])
        loaded = stream.append_table(rows, on_rows=heard.append)
        assert (loaded.stored, loaded.duplicates, sum(heard)) == (15, 6, 21)
        self.settle(stream)
        assert {kind.codec.to_row(entry.record) for entry in journey(stream, page=6)} == set(
            map(kind.codec.to_row, records)
        )

    def test_nothing_is_nothing(self, stream: Stream[Any], kind: Kind) -> None:
        assert stream.append([]).entries == []
        assert stream.append_table(kind.codec.table_of_rows([])).stored == 0
        assert stream.end() == BEGINNING

    def test_a_record_is_found_by_its_key(self, stream: Stream[Any], kind: Kind) -> None:
        stream.append([kind.record(number) for number in range(12)])
        self.settle(stream)
        stream.append([kind.record(number) for number in range(12, 15)])
        for number in (0, 7, 11, 14):
            assert stream.find(kind.key(number)) == kind.record(number)
        assert stream.find(kind.key(99)) is None

    def test_a_scan_has_every_record_once_and_the_columns_asked_for(
        self, stream: Stream[Any], kind: Kind
    ) -> None:
        stream.append([kind.record(number) for number in range(25)])
        self.settle(stream)
        stream.append([kind.record(number) for number in range(25, 40)])
        keys = [f"{kind.key(number)}" for number in range(40)]
        whole = pa.Table.from_batches(stream.scan(), schema=kind.codec.placed_schema)
        assert sorted(whole[kind.codec.key].to_pylist()) == sorted(keys)
        narrow = pa.Table.from_batches(stream.scan(columns=[kind.codec.key]))
        assert narrow.column_names == ["partition", "offset", kind.codec.key]
        middle = stream.read(BEGINNING, limit=17).position
        parts = [
            pa.Table.from_batches(stream.scan(columns=["user_key"], **bounds))
            for bounds in ({"through": middle}, {"after": middle})
        ]
        assert [len(part) for part in parts] == [17, 23]
        assert set(zip(*_places(pa.concat_tables(parts)), strict=True)) == set(
            zip(*_places(whole), strict=True)
        )

    def test_a_scan_keeps_what_meets_every_condition(self, stream: Stream[Any], kind: Kind) -> None:
        stream.append([kind.record(number) for number in range(20)])
        self.settle(stream)
        stream.append([kind.record(number) for number in range(20, 30)])
        time = kind.codec.times[0]
        instants = pa.Table.from_batches(stream.scan(columns=[time]))[time].cast(pa.int64()).to_pylist()
        early, late = sorted(instants)[5] / 1e6, sorted(instants)[-5] / 1e6
        wanted = [n for n in range(30) if n % 3 != 1]
        conditions = [(time, ">=", early), (time, "<", late), ("user_id", "in", ["user-0", "user-2"])]
        found = pa.Table.from_batches(stream.scan(columns=[kind.codec.key], where=conditions))
        expected = sorted(kind.key(n) for n in wanted if 5 <= n < 25)
        assert sorted(found[kind.codec.key].to_pylist()) == expected
        assert not sum(len(batch) for batch in stream.scan(where=[("user_id", "in", [])]))

    def test_the_end_is_reached_though_the_newest_records_are_forgotten(
        self, stream: Stream[Any], kind: Kind
    ) -> None:
        newest = stream.append([kind.record(number) for number in range(12)]).entries[-1].record
        self.settle(stream)
        first = stream.read(BEGINNING, limit=2)
        stream.forget(f"user:{newest.user_id}")
        assert first.position != stream.end()
        whole = stream.read(BEGINNING, limit=100)
        assert (len(whole.entries), whole.position) == (8, stream.end())
        rest = first
        while found := stream.read(rest.position, limit=3):
            rest = found
        assert stream.lag(stream.read(rest.position, limit=3).position) == 0

    def test_a_forgotten_person_is_gone_and_their_keys_stay_taken(
        self, stream: Stream[Any], kind: Kind, tmp_path: Path
    ) -> None:
        stream.append([kind.record(number) for number in range(24)])
        self.settle(stream)
        stream.append([kind.record(number) for number in range(24, 30)])
        end = stream.end()
        kept = [entry for entry in journey(stream, page=100) if entry.record.user_id != "user-1"]
        assert stream.forget("user:user-1") == 10
        assert stream.forget("user:user-1") == 0
        assert sorted(journey(stream, page=3), key=_place) == sorted(kept, key=_place)
        assert (stream.find(kind.key(1)), stream.find(kind.key(28))) == (None, None)
        assert stream.find(kind.key(2)) == kind.record(2)
        rows = pa.Table.from_batches(stream.scan(columns=["user_key"]))
        assert set(rows["user_key"].to_pylist()) == {"user:user-0", "user:user-2"}
        assert stream.append([kind.record(number) for number in range(30)]).duplicates == 30
        assert stream.end() == end
        stream.append([kind.record(31)])
        self.settle(stream)
        assert [entry.record for entry in stream.read(end).entries] == [kind.record(31)]
        stream.close()
        with self.open(tmp_path, kind) as again:
            assert again.append([kind.record(1)]).duplicates == 1
            assert len(journey(again, page=5)) == 21

    def test_many_people_are_forgotten_as_one_by_one_would_be(self, stream: Stream[Any], kind: Kind) -> None:
        stream.append([kind.record(number) for number in range(24)])
        self.settle(stream)
        stream.append([kind.record(number) for number in range(24, 29)])
        end = stream.end()
        kept = [entry for entry in journey(stream, page=100) if entry.record.user_id == "user-0"]
        gone = stream.forget_all(["user:user-1", "user:user-2", "user:nobody"])
        assert {person: count for person, count in gone.items() if count} == {
            "user:user-1": 10,
            "user:user-2": 9,
        }
        assert not sum(stream.forget_all(["user:user-1", "user:user-2"]).values())
        assert not sum(stream.forget_all([]).values())
        assert sorted(journey(stream, page=3), key=_place) == sorted(kept, key=_place)
        assert stream.append([kind.record(number) for number in range(29)]).duplicates == 29
        assert stream.end() == end

    def test_what_has_expired_is_gone_and_its_keys_stay_taken(
        self, stream: Stream[Any], kind: Kind, tmp_path: Path
    ) -> None:
        if not hasattr(stream, "archive_lock"):
            pytest.skip("an engine without an archive deletes nothing by age")
        stream.append([kind.record(number) for number in range(24)])
        self.settle(stream)
        stream.append([kind.record(number) for number in range(24, 30)])
        end, time = stream.end(), kind.codec.times[0]
        instants = pa.Table.from_batches(stream.scan(columns=[time]))[time].cast(pa.int64()).to_pylist()
        early, late = sorted(instants)[5] / 1e6, sorted(instants)[-5] / 1e6
        which = [[(time, "<", early), ("user_id", "=", "user-1")], [(time, ">=", late)]]
        assert expire_stream(stream, which) == 2 + 5
        assert expire_stream(stream, which) == 0
        assert expire_stream(stream, []) == 0
        left = [n for n in range(25) if not (n < 5 and n % 3 == 1)]
        found = [kind.codec.to_row(entry.record)[kind.codec.key_at] for entry in journey(stream, page=4)]
        assert sorted(map(str, found)) == sorted(kind.key(n) for n in left)
        assert stream.find(kind.key(1)) is None
        assert stream.find(kind.key(2)) == kind.record(2)
        assert stream.append([kind.record(number) for number in range(30)]).duplicates == 30
        assert stream.end() == end
        stream.close()
        with self.open(tmp_path, kind) as again:
            assert len(journey(again, page=5)) == len(left)

    def test_records_of_whom_it_refuses_are_not_stored_and_are_told_apart(
        self, kind: Kind, tmp_path: Path
    ) -> None:
        refused: set[str] = set()
        records = [kind.record(number) for number in range(9)]
        with self.open(tmp_path, kind, refuses=lambda people: refused & set(people)) as stream:
            stream.append(records[:3])
            refused.add("user:user-1")
            appended = stream.append(records)
            assert [entry.record for entry in appended.entries] == [records[n] for n in (3, 5, 6, 8)]
            assert (appended.duplicates, list(appended.refused)) == (2, [records[n] for n in (1, 4, 7)])
            rows = kind.codec.table_of_rows([kind.codec.to_row(kind.record(n)) for n in range(6, 12)])
            loaded = stream.append_table(rows)
            assert (loaded.stored, loaded.duplicates, loaded.refused) == (2, 2, 2)
            refused.clear()
            assert [entry.record for entry in stream.append(records).entries] == [records[4], records[7]]
            self.settle(stream)
            assert len(journey(stream, page=5)) == 11


def _place(entry: Entry[Any]) -> tuple[int, int]:
    return entry.partition, entry.offset


def _places(table: pa.Table) -> tuple[list[int], list[int]]:
    return table["partition"].to_pylist(), table["offset"].to_pylist()
