"""Events as packed records: what a history keeps of each, from Event objects or from a log's frame."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tailorbird.catalog.keys import stable_key, stable_keys
from tailorbird.events.schema import BESIDE_TYPES, Event
from tailorbird.events.valence import strength, strengths
from tailorbird.features.history.context import setting_of, settings_of
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.history.sums import TYPE_CODE, type_code
from tailorbird.features.table import PASSIVE_TYPES

RECORD = np.dtype(
    [
        ("time", "<i8"),  # epoch microseconds
        ("message", "<i8"),  # key of message_id: breaks ties and finds duplicates
        ("item", "<i8"),  # key of item_id, 0 for none
        ("session", "<i8"),  # key of session_id, 0 for none
        ("value", "<f4"),  # NaN for none; of a rating, within the scale
        ("strength", "<f4"),  # what the event said for its item, negative against it (events.valence)
        ("log_price", "<f4"),  # of the item when the event arrived, NaN for unknown
        ("category", "<u2"),  # bucket of the most specific category, 0 for none
        ("brand", "<u2"),  # bucket of the brand, 0 for none
        ("type", "u1"),  # index into COUNTED_TYPES
        ("kept", "u1"),  # 1 where the history keeps it, 0 where it is only counted
        ("setting", "u1"),  # device and referrer, packed (features.context.setting_of)
    ]
)
MEANING = 3
"""Of what a record holds of an event: one more whenever the same event is packed otherwise."""
MICROSECONDS = 1_000_000
EVENT_COLUMNS = (
    "user_key",
    "user_id",
    "anonymous_id",
    "message_id",
    "type",
    "session_id",
    "item_id",
    "value",
    "event_time",
    "received_time",
    "context",
)
"""What of a log's events profiles are made of."""


@dataclass(frozen=True)
class Records:
    """Events ready to be folded: ``packed`` (n,) RECORD and ``rows`` (n,) catalogue rows, -1 unknown.

    ``facts`` (n,) places in ItemFacts: what the item was when the event was ``received`` (n,) int64 epoch microseconds.
    """

    packed: np.ndarray
    rows: np.ndarray
    facts: np.ndarray
    received: np.ndarray

    def __len__(self) -> int:
        return len(self.packed)

    @classmethod
    def concatenated(cls, parts: Sequence["Records"]) -> "Records":
        """One after the other; at least one."""
        names = ("packed", "rows", "facts", "received")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def take(self, which: np.ndarray | slice) -> "Records":
        """Select by index, mask, order or slice."""
        return Records(self.packed[which], self.rows[which], self.facts[which], self.received[which])

    def sorted(self) -> "Records":
        """Order by (time, message)."""
        return self.take(np.lexsort((self.packed["message"], self.packed["time"])))


def microseconds(instant: float) -> int:
    """Epoch seconds to whole microseconds."""
    return round(instant * MICROSECONDS)


def frame_microseconds(column: pd.Series) -> np.ndarray:
    """(n,) int64 epoch microseconds of a column of timestamps or of epoch seconds."""
    if pd.api.types.is_numeric_dtype(column):
        return np.rint(column.to_numpy(np.float64) * MICROSECONDS).astype(np.int64)
    return pd.DatetimeIndex(pd.to_datetime(column, utc=True)).as_unit("us").asi8


def records_of(events: Sequence[Event], facts: ItemFacts) -> Records:
    """Pack events in the order given. What is no behaviour (BESIDE_TYPES) must be left out before."""
    rows = facts.rows(event.item_id for event in events)
    received = np.array([microseconds(event.received_time) for event in events], np.int64)
    held = facts.held_at(rows, received)
    packed = np.array(
        [
            (
                microseconds(event.event_time),
                stable_key(event.message_id),
                facts.keys[place] if place >= 0 else stable_key(event.item_id),
                stable_key(event.session_id),
                facts.scale.rated(event.type, event.value),
                strength(event.type, event.value, scale=facts.scale),
                facts.log_prices[place],
                facts.categories[place],
                facts.brands[place],
                type_code(event.type),
                event.type not in PASSIVE_TYPES,
                setting_of(event.context),
            )
            for event, place in zip(events, held.tolist(), strict=True)
        ],
        dtype=RECORD,
    )
    return Records(packed, rows, held, received)


def records_of_frame(frame: pd.DataFrame, facts: ItemFacts) -> Records:
    """Pack the rows of an event log's frame in their order. What is no behaviour (BESIDE_TYPES) must be left out before."""
    rows = _map_unique(
        frame["item_id"], lambda names: np.array([facts.row_of.get(n or "", -1) for n in names], np.int64)
    )
    keys = facts.keys[rows]
    unknown = rows < 0
    if unknown.any():
        keys[unknown] = _map_unique(frame["item_id"][unknown], stable_keys)
    packed = np.zeros(len(frame), RECORD)
    packed["time"] = frame_microseconds(frame["event_time"])
    received = frame_microseconds(frame["received_time"])
    held = facts.held_at(rows, received)
    packed["message"] = stable_keys(frame["message_id"])
    packed["item"] = keys
    packed["session"] = _map_unique(frame["session_id"], stable_keys) if "session_id" in frame else 0
    types, values = frame["type"], frame.get("value")
    packed["value"] = (
        np.nan
        if values is None
        else facts.scale.rated_many(types, pd.to_numeric(values).to_numpy(np.float64, na_value=np.nan))
    )
    packed["strength"] = strengths(types, values, scale=facts.scale)
    packed["log_price"] = facts.log_prices[held]
    packed["category"] = facts.categories[held]
    packed["brand"] = facts.brands[held]
    packed["type"] = types.map(TYPE_CODE).fillna(type_code("other")).to_numpy(np.uint8)
    packed["kept"] = ~types.isin(PASSIVE_TYPES).to_numpy()
    if "context" in frame:
        packed["setting"] = _map_unique(frame["context"], settings_of)
    return Records(packed, rows, held, received)


def behaviour(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows that are part of a profile, each message once."""
    frame = frame[~frame["type"].isin(BESIDE_TYPES)]
    return frame.drop_duplicates("message_id") if frame["message_id"].duplicated().any() else frame


def _map_unique(column: pd.Series, to_numbers) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Translate each distinct name once."""
    codes, names = pd.factorize(column, use_na_sentinel=True)
    numbers = np.append(to_numbers([str(name) for name in names]), to_numbers([None]))
    return numbers[codes]  # code -1 (missing) reads the last entry
