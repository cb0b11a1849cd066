"""What a scan asks of its rows, as Arrow asks it."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from tailorbird.streams.stream import Condition


def expression(where: Sequence[Condition], schema: pa.Schema) -> ds.Expression:
    """Conditions as an Arrow expression that is true where all are met."""
    met = pc.scalar(True)
    for column, comparison, value in where:
        kind = schema.field(column).type
        field = ds.field(column)
        if comparison == "in":
            met = met & field.isin(pa.array(list(value), kind))  # type: ignore[call-overload]
            continue
        if pa.types.is_timestamp(kind):
            wanted = pa.scalar(round(float(value) * 1_000_000), pa.int64()).cast(kind)  # type: ignore[arg-type]
        else:
            wanted = pa.scalar(value, kind)
        compare = {"<": field < wanted, "<=": field <= wanted, ">": field > wanted, ">=": field >= wanted}
        met = met & compare.get(comparison, field == wanted)
    return met
