"""A codec: how the records of one stream lie in the rows of an engine and in the table of the archive."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Generic, TypeVar

import pyarrow as pa

Record = TypeVar("Record")
Row = tuple[object, ...]
"""Values as a database holds them, in the order of a codec's ``columns``."""

PLACE = (pa.field("partition", pa.int32(), nullable=False), pa.field("offset", pa.int64(), nullable=False))
"""The columns of the archive that say where a record stands; they come before a codec's own."""


def digest_of(key: str) -> bytes:
    """What an engine keeps of a key for good: 16 bytes that say nothing of it."""
    return blake2b(key.encode(errors="surrogatepass"), digest_size=16).digest()


@dataclass(frozen=True)
class Codec(Generic[Record]):
    """What an engine must know of its records.

    A live record is a row: ``columns`` maps their names to SQL types. An archived one lies in a table with ``schema``.
    Both have the columns ``key`` (text, tells records apart) and ``person`` (the person key). ``to_row`` raises
    UsageError where a record cannot be stored.
    """

    name: str
    key: str
    person: str
    columns: Mapping[str, str]
    to_row: Callable[[Record], Row]
    from_row: Callable[[Row], Record]
    schema: pa.Schema
    table_of_rows: Callable[[Sequence[Row]], pa.Table]
    rows_of_table: Callable[[pa.Table], Iterable[Row]]
    digest: Callable[[str], bytes] = digest_of
    """Keys that sort by time are worth a digest that does: an index then grows at its end."""

    @property
    def placed_schema(self) -> pa.Schema:
        """The columns of the archive: where a record stands, then the record."""
        return pa.schema([*PLACE, *self.schema])

    @property
    def times(self) -> list[str]:
        """The archive's columns that hold an instant."""
        return [field.name for field in self.schema if pa.types.is_timestamp(field.type)]

    @property
    def key_at(self) -> int:
        """Where in a row the key lies."""
        return list(self.columns).index(self.key)


def flat_codec(
    name: str,
    *,
    schema: pa.Schema,
    key: str,
    person: str,
    to_row: Callable[[Record], Row],
    from_row: Callable[[Row], Record],
) -> Codec[Record]:
    """A codec whose rows have the archive's columns: scalars, text and bytes; times are integer microseconds."""
    return Codec(
        name=name,
        key=key,
        person=person,
        columns={field.name: _sql_type(field) for field in schema},
        to_row=to_row,
        from_row=from_row,
        schema=schema,
        table_of_rows=lambda rows: _table_of_rows(rows, schema=schema),
        rows_of_table=_rows_of_table,
    )


def _rows_of_table(table: pa.Table) -> Iterable[Row]:
    columns = [
        (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()
        for column in table.columns
    ]
    return zip(*columns, strict=True)


def _table_of_rows(rows: Sequence[Row], *, schema: pa.Schema) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    arrays = [
        pa.array(values, pa.int64()).cast(kind.type)
        if pa.types.is_timestamp(kind.type)
        else pa.array(values, kind.type)
        for values, kind in zip(columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _sql_type(field: pa.Field) -> str:
    kind = field.type
    if pa.types.is_integer(kind) or pa.types.is_timestamp(kind) or pa.types.is_boolean(kind):
        name = "INTEGER"
    elif pa.types.is_floating(kind):
        name = "REAL"
    else:
        name = "BLOB" if pa.types.is_binary(kind) else "TEXT"
    return name if field.nullable else f"{name} NOT NULL"
