"""A stream in a backup: its records with the places where they stood, and back."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from tailorbird.backup.sealed import NOBODY, Ciphers, Gatherer, Written, parts, read_sealed
from tailorbird.events.rows import EVENTS
from tailorbird.events.schema import ANONYMOUS
from tailorbird.exposures.rows import EXPOSURES
from tailorbird.settings import Settings
from tailorbird.streams.codec import Codec
from tailorbird.streams.factory import open_events, open_exposures
from tailorbird.streams.kafka.wire import Wire
from tailorbird.streams.position import Position
from tailorbird.streams.sqlite import SqliteStream
from tailorbird.streams.stream import Stream

STREAMS: Mapping[str, tuple[Codec[Any], Callable[[Settings], Stream[Any]]]] = {
    "events": (EVENTS, open_events),
    "exposures": (EXPOSURES, open_exposures),
}
"""The streams of a workspace, by what a backup calls them: how their records lie, and how they are opened."""
ANY_SIZE = 2**31
Advance = Callable[[int], object]
"""Hears how many more records were read."""


def write_stream(
    stream: Stream[Any],
    name: str,
    folder: Path,
    *,
    through: Position,
    ciphers: Ciphers,
    advance: Advance,
) -> Written:
    """Seal every record up to ``through``."""
    codec, _ = STREAMS[name]
    wire, gatherer = Wire(codec), Gatherer(folder, name=name, ciphers=ciphers)
    for batch in stream.scan(through=through):
        table = pa.Table.from_batches([batch])
        rows = codec.rows_of_table(table.select(codec.schema.names))
        places = zip(table["partition"].to_pylist(), table["offset"].to_pylist(), rows, strict=True)
        for partition, offset, row in places:
            person = wire.person_of(row)
            nobody = person == f"{ANONYMOUS}{row[codec.key_at]}"  # the exposure of nobody
            line = b"%d %d %b" % (partition, offset, wire.encode(row, most_bytes=ANY_SIZE))
            gatherer.add(NOBODY if nobody else person, line)
        advance(len(batch))
    gatherer.flush()
    return gatherer.written


def read_stream(name: str, folder: Path, *, ciphers: Ciphers) -> Iterator[tuple[pa.Table, int]]:
    """The records of a backup, file by file in the order of their places, with how many open no more."""
    codec, _ = STREAMS[name]
    wire = Wire(codec)
    for path in parts(folder):
        opened = read_sealed(path, name=name, ciphers=ciphers)
        placed = []
        for line in opened.lines:
            partition, offset, value = line.split(b" ", 2)
            placed.append((int(partition), int(offset), wire.decode(value)))
        placed.sort(key=lambda each: each[:2])
        table = codec.table_of_rows([row for _, _, row in placed])
        columns = [
            pa.array([partition for partition, _, _ in placed], pa.int32()),
            pa.array([offset for _, offset, _ in placed], pa.int64()),
        ]
        yield pa.Table.from_arrays([*columns, *table.columns], schema=codec.placed_schema), opened.gone


def keeps_places(settings: Settings, ends: Mapping[str, Mapping[str, int]]) -> bool:
    """Whether restored records stand where they stood: not in Kafka, nor where several partitions become one."""
    return settings.events == "sqlite" and all(
        partition == "0" for each in ends.values() for partition in each
    )


def append_restored(stream: Stream[Any], name: str, table: pa.Table, *, in_place: bool) -> None:
    """Store restored records, where they stood or at new places."""
    if not len(table):
        return
    if in_place and isinstance(stream, SqliteStream):
        stream.put_back(table)
    else:
        stream.append_table(table.select(STREAMS[name][0].schema.names))
