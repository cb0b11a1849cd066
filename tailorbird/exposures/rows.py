"""The exposure as a row: packed bytes beside its key and its person; in the archive one column a property."""

from collections.abc import Iterable, Sequence

import pyarrow as pa

from tailorbird.exposures.codec import SCHEMA, exposures_of, pack, table_of, unpack
from tailorbird.exposures.exposure import TIME_DIGITS, Exposure
from tailorbird.streams.codec import Codec, Row, digest_of


def row_of(exposure: Exposure) -> Row:
    """Key, person and everything else as bytes."""
    return exposure.recommendation_id, exposure.user_key, pack(exposure)


def exposure_of(row: Row) -> Exposure:
    """Turn a row back into the exposure it was made of."""
    return unpack(row[2])  # type: ignore[arg-type]


def table_of_rows(rows: Sequence[Row]) -> pa.Table:
    """Arrow table as the archive holds it."""
    people = pa.array([row[1] for row in rows], pa.string())
    return table_of([exposure_of(row) for row in rows]).append_column(_PERSON, people)


def rows_of_table(table: pa.Table) -> Iterable[Row]:
    """Rows of an archived table."""
    return map(row_of, exposures_of(table))


def digest_by_time(recommendation_id: str) -> bytes:
    """The time of an id, then a digest: unlike a digest alone, it does not touch a page of the index for each answer."""
    try:
        time = bytes.fromhex(recommendation_id[:TIME_DIGITS])
    except ValueError:
        return digest_of(recommendation_id)
    return time + digest_of(recommendation_id)[len(time) :]


_PERSON = pa.field("user_key", pa.string(), nullable=False)

EXPOSURES: Codec[Exposure] = Codec(
    name="exposure",
    key="recommendation_id",
    person="user_key",
    columns={"recommendation_id": "TEXT NOT NULL", "user_key": "TEXT NOT NULL", "data": "BLOB NOT NULL"},
    to_row=row_of,
    from_row=exposure_of,
    schema=pa.schema([*SCHEMA, _PERSON]),
    table_of_rows=table_of_rows,
    rows_of_table=rows_of_table,
    digest=digest_by_time,
)
"""How the stream of exposures stores them."""
