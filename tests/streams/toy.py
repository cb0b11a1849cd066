"""A stream in memory with three partitions and holes in its offsets: what a broker may do to a reader."""

import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from tailorbird.errors import UsageError
from tailorbird.streams.codec import Codec
from tailorbird.streams.conditions import expression
from tailorbird.streams.position import BEGINNING, Position
from tailorbird.streams.stream import Appended, Chunk, Entry, Loaded, Refuses, StreamAwayError, nobody

PARTITIONS = 3


class HolesStream:
    """Records by partition; between two offsets up to two are missing. The same folder gives the same stream again."""

    _kept: ClassVar[dict[tuple[Path, str], tuple[dict[int, list[Entry[Any]]], set[str]]]] = {}

    def __init__(self, codec: Codec[Any], folder: Path, *, refuses: Refuses = nobody) -> None:
        self.codec, self._refuses = codec, refuses
        self._closed = False
        self._parts, self._keys = self._kept.setdefault(
            (folder, codec.name), ({part: [] for part in range(PARTITIONS)}, set())
        )
        self._last = {part: entries[-1].offset if entries else -1 for part, entries in self._parts.items()}

    def append(self, records):
        self._require_open()
        given, at = records, list(self.codec.columns).index(self.codec.person)
        rows = [self.codec.to_row(record) for record in given]
        _refuse_unsendable(rows)
        fallen = self._refuses({row[at] for row in rows})
        refused = [record for record, row in zip(given, rows, strict=True) if row[at] in fallen]
        records = [record for record, row in zip(given, rows, strict=True) if row[at] not in fallen]
        rows = [row for row in rows if row[at] not in fallen]
        entries = []
        for record, row in zip(records, rows, strict=True):
            values = dict(zip(self.codec.columns, row, strict=True))
            if values[self.codec.key] in self._keys:
                continue
            self._keys.add(values[self.codec.key])
            part = zlib.crc32(values[self.codec.person].encode()) % PARTITIONS
            self._last[part] += 1 + zlib.crc32(values[self.codec.key].encode()) % 3
            entry = Entry(part, self._last[part], record)
            self._parts[part].append(entry)
            entries.append(entry)
        return Appended(entries, len(records) - len(entries), refused)

    def append_table(self, table, *, on_rows=lambda rows: None):
        appended = self.append([self.codec.from_row(tuple(row)) for row in self.codec.rows_of_table(table)])
        on_rows(len(table))
        return Loaded(len(appended.entries), appended.duplicates, len(appended.refused))

    def read(self, after: Position, *, limit: int = 10_000):
        self._require_open()
        if limit < 0:
            raise ValueError(limit)
        # The partition that lags most comes first, so that a reader gets on in all of them.
        waiting = [
            entry for part in sorted(self._parts, key=lambda p: after[p]) for entry in self._past(part, after)
        ]
        entries, position = waiting[:limit], after
        for entry in entries:
            position = position.advanced(entry.partition, entry.offset)
        return Chunk(entries, position.joined(self.end()) if len(entries) < limit else position)

    def scan(self, *, columns=None, where=(), after=BEGINNING, through=None) -> Iterator[pa.RecordBatch]:
        end = self.end() if through is None else through
        for part in self._parts:
            entries = [entry for entry in self._past(part, after) if end.holds(part, entry.offset)]
            if not entries:
                continue
            rows = self.codec.table_of_rows([self.codec.to_row(entry.record) for entry in entries])
            offsets = pa.array([entry.offset for entry in entries], pa.int64())
            place = [pa.array([part] * len(entries), pa.int32()), offsets]
            table = pa.Table.from_arrays([*place, *rows.columns], schema=self.codec.placed_schema)
            table = table.filter(expression(where, self.codec.placed_schema))
            names = table.column_names if columns is None else ["partition", "offset", *columns]
            yield from table.select(list(dict.fromkeys(names))).to_batches()

    def end(self) -> Position:
        self._require_open()
        return Position({part: last for part, last in self._last.items() if last >= 0})

    def lag(self, after: Position) -> int:
        end = self.end()
        return sum(max(0, end[part] - after[part]) for part in end)

    def find(self, key: str):
        self._require_open()
        for entries in self._parts.values():
            for entry in entries:
                if self.codec.to_row(entry.record)[self.codec.key_at] == key:
                    return entry.record
        return None

    def forget(self, user_key: str) -> int:
        return self.forget_all([user_key])[user_key]

    def forget_all(self, user_keys):
        self._require_open()
        gone = Counter()
        at = list(self.codec.columns).index(self.codec.person)
        for entries in self._parts.values():
            people = [self.codec.to_row(entry.record)[at] for entry in entries]
            gone.update(person for person in people if person in user_keys)
            entries[:] = [
                entry for entry, person in zip(entries, people, strict=True) if person not in user_keys
            ]
        return gone

    def close(self) -> None:
        self._closed = True

    def __enter__(self):
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _past(self, part: int, after: Position) -> list[Entry[Any]]:
        return [entry for entry in self._parts[part] if not after.holds(part, entry.offset)]

    def _require_open(self) -> None:
        if self._closed:
            raise StreamAwayError("the stream is closed", remedy="open the stream again")


def _refuse_unsendable(rows) -> None:
    """What no broker takes either: text that is not UTF-8, numbers beyond 64 bits."""
    for value in (value for row in rows for value in row):
        try:
            if isinstance(value, str):
                value.encode()
            elif isinstance(value, int):
                value.to_bytes(8, "big", signed=True)
        except (UnicodeError, OverflowError) as error:
            raise UsageError(f"{value!r} cannot be stored: {error}") from error
