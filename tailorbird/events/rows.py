"""The event as a row: between Event, the row of a stream and the frame with SCHEMA's columns."""

import math
from collections.abc import Mapping

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa

from tailorbird.errors import UsageError
from tailorbird.events.schema import ANONYMOUS, SCHEMA, USER, Event
from tailorbird.streams.codec import Row, flat_codec

MICROSECONDS = 1_000_000


def row_of(event: Event) -> Row:
    """Turn one event into a row; raises UsageError when the event cannot be stored."""
    if not event.message_id:
        raise UsageError("event without message_id", remedy="give every event an id of its own")
    if not event.user_id and not event.anonymous_id:
        raise UsageError(
            f"event {event.message_id!r} has neither user_id nor anonymous_id", remedy="send one of the two"
        )
    return (
        event.message_id,
        event.type,
        event.user_id,
        event.anonymous_id,
        event.session_id,
        event.item_id,
        event.recommendation_id,
        event.position,
        event.value,
        _microseconds(event.event_time, event.message_id),
        _microseconds(event.received_time, event.message_id),
        _json(event.context, event.message_id),
        _json(event.properties, event.message_id),
        event.user_key,
    )


def event_of(row: Row) -> Event:
    """Turn a row back into the event it was made of."""
    values = dict(zip(SCHEMA.names, row[: len(SCHEMA)], strict=True))
    for column in ("event_time", "received_time"):
        values[column] = values[column] / MICROSECONDS
    for column in ("context", "properties"):
        values[column] = orjson.loads(values[column]) if values[column] else {}
    return Event(**values)


def table_of_frame(frame: pd.DataFrame) -> pa.Table:
    """Arrow table with SCHEMA and ``user_key`` of a frame, as a stream takes it; optional columns may be absent.

    Raises:
        UsageError: a column has a wrong type, or lacks what it must hold.
    """
    columns = []
    for kind in SCHEMA:
        values = frame[kind.name] if kind.name in frame else pd.Series(None, index=frame.index, dtype=object)
        try:
            array = pa.Array.from_pandas(_utc(values) if pa.types.is_timestamp(kind.type) else values)
            array = array.cast(kind.type, safe=not pa.types.is_timestamp(kind.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, TypeError) as error:
            raise UsageError(
                f"column {kind.name!r} is not {kind.type}: {error}", remedy="validate the frame first"
            ) from error
        if not kind.nullable and array.null_count:
            raise UsageError(
                f"column {kind.name!r} is empty in {array.null_count} rows", remedy="validate the frame first"
            )
        columns.append(array)
    people = pd.DataFrame(
        {name: frame.get(name, pd.Series(None, frame.index, object)) for name in ("user_id", "anonymous_id")}
    )
    columns.append(pa.array(user_keys(people), pa.string()))
    return pa.Table.from_arrays(columns, schema=EVENTS.schema)


def user_keys(frame: pd.DataFrame) -> pd.Series:
    """The profile of each row of an event frame, as :func:`tailorbird.events.schema.user_key` names it."""
    users = frame["user_id"].astype(object)
    known = users.notna() & (users != "")
    anonymous = ANONYMOUS + frame["anonymous_id"].astype(object).fillna("").astype(str)
    return (USER + users.fillna("").astype(str)).where(known, anonymous)


def micros(times: pd.Series) -> np.ndarray:
    """(n,) int64 microseconds since 1970 of a UTC time column."""
    return times.dt.tz_convert(None).to_numpy().astype("datetime64[us]").astype(np.int64)


def _utc(values: pd.Series) -> pd.Series:
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return values
    return pd.to_datetime(values, utc=True)


def _microseconds(instant: float, message_id: str) -> int:
    if not math.isfinite(instant):
        raise UsageError(f"event {message_id!r} has time {instant!r}", remedy="send epoch seconds, UTC")
    return round(instant * MICROSECONDS)


def _json(values: Mapping[str, object], message_id: str) -> str | None:
    if not values:
        return None
    try:
        return orjson.dumps(values, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError as error:
        raise UsageError(
            f"event {message_id!r} has context or properties that are not JSON: {error}",
            remedy="use text, numbers, booleans, lists and objects",
        ) from error


EVENTS = flat_codec(
    "event",
    schema=pa.schema([*SCHEMA, pa.field("user_key", pa.string(), nullable=False)]),
    key="message_id",
    person="user_key",
    to_row=row_of,
    from_row=event_of,
)
"""How the stream of events stores them: SCHEMA's columns and the person key."""
