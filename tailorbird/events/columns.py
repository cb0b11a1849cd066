"""Events as compact columns: names as numbers, times as microseconds. Ten million of them are a few hundred megabytes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

COLUMNS = ("message_id", "type", "user_key", "item_id", "value", "event_time", "received_time")
"""What of a log's events a training set needs."""

CHUNK = 1_000_000
_ODD = tuple(np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9))


@dataclass(frozen=True, eq=False)
class EventColumns:
    """Events in the order in which they were stored, one place each.

    ``types`` (n,) uint16 of ``type_names``; ``users`` (n,) int32 of ``user_keys``; ``items`` (n,) int32 of ``item_ids``, -1
    for none; ``values`` (n,) float32, NaN for none; ``times``, ``received`` (n,) int64 epoch microseconds. ``digest``
    changes with any event and not with their order.
    """

    types: np.ndarray
    users: np.ndarray
    items: np.ndarray
    values: np.ndarray
    times: np.ndarray
    received: np.ndarray
    type_names: np.ndarray
    user_keys: np.ndarray
    item_ids: np.ndarray
    digest: str

    @classmethod
    def of(cls, batches: Iterable[pa.RecordBatch]) -> "EventColumns":
        """Fill them batch by batch (with COLUMNS): memory holds the columns and one batch."""
        names = {name: _Names() for name in ("type", "user_key", "item_id")}
        parts: dict[str, list[np.ndarray]] = {
            "type": [np.zeros(0, np.uint16)],
            "user_key": [np.zeros(0, np.int32)],
            "item_id": [np.zeros(0, np.int32)],
            "value": [np.zeros(0, np.float32)],
            "event_time": [np.zeros(0, np.int64)],
            "received_time": [np.zeros(0, np.int64)],
        }
        digest = 0
        for batch in batches:
            for name, known in names.items():
                parts[name].append(known.codes(batch[name]).astype(parts[name][0].dtype))
            with np.errstate(over="ignore"):  # what is beyond float32 is infinite
                parts["value"].append(batch["value"].to_numpy(zero_copy_only=False).astype(np.float32))
            for name in ("event_time", "received_time"):
                parts[name].append(batch[name].cast(pa.int64()).to_numpy(zero_copy_only=False))
            hashes = [known.hashes()[parts[name][-1].astype(np.int64)] for name, known in names.items()]
            digest += int(_digest(batch["message_id"], hashes, parts["event_time"][-1], parts["value"][-1]))
        columns = {name: np.concatenate(parts.pop(name)) for name in list(parts)}
        return cls(
            types=columns["type"],
            users=columns["user_key"],
            items=columns["item_id"],
            values=columns["value"],
            times=columns["event_time"],
            received=columns["received_time"],
            type_names=names["type"].array(),
            user_keys=names["user_key"].array(),
            item_ids=names["item_id"].array(),
            digest=f"{digest % 2**64:016x}",
        )

    @classmethod
    def of_frame(cls, frame: pd.DataFrame) -> "EventColumns":
        """The same of a log's frame (columns of SCHEMA and ``user_key``)."""
        arrays = []
        for name in COLUMNS:
            kind: pa.DataType = pa.string()
            if name == "value":
                kind = pa.float64()
            elif name.endswith("_time"):
                kind = pa.timestamp("us", tz="UTC")
            arrays.append(pa.array(frame[name], from_pandas=True).cast(kind, safe=False))
        return cls.of([pa.RecordBatch.from_arrays(arrays, names=list(COLUMNS))])

    def __len__(self) -> int:
        return len(self.times)

    def where(self, mask: np.ndarray) -> "EventColumns":
        """The events of a boolean mask; names keep their numbers. The digest stays that of the whole."""
        return replace(
            self,
            types=self.types[mask],
            users=self.users[mask],
            items=self.items[mask],
            values=self.values[mask],
            times=self.times[mask],
            received=self.received[mask],
        )

    def without_items(self, item_ids: Iterable[str]) -> "EventColumns":
        """All events but those on some items."""
        unwanted = np.append(np.isin(self.item_ids, list(item_ids)), False)  # the last: events without item
        return self.where(~unwanted[self.items])

    def rows(self, row_of: Mapping[str, int]) -> np.ndarray:
        """(n,) int64 catalogue rows of the events' items, -1 where there is none or it is unknown."""
        known = np.array([row_of.get(item_id, -1) for item_id in self.item_ids] + [-1], np.int64)
        return known[self.items]

    def chunks(self) -> Iterator[slice]:
        """Stretches of at most CHUNK events, for what needs wide arrays on the way."""
        for start in range(0, len(self), CHUNK):
            yield slice(start, min(start + CHUNK, len(self)))

    def names_of_types(self, part: slice) -> pd.Series:
        """The types of a stretch as text."""
        return pd.Series(self.type_names[self.types[part]], dtype=object)


class _Names:
    """Numbers names in the order of their first use."""

    def __init__(self) -> None:
        self._code_of: dict[str, int] = {}
        self._hashes = np.zeros(1, np.uint64)

    def codes(self, column: pa.Array) -> np.ndarray:
        """(n,) int64 numbers of a column's names, -1 for none."""
        encoded = column.dictionary_encode()
        code_of = self._code_of
        names = encoded.dictionary.to_pylist()
        codes = np.array([*(code_of.setdefault(name, len(code_of)) for name in names), -1], np.int64)
        return codes[pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)]

    def hashes(self) -> np.ndarray:
        """(names + 1,) uint64 of all names so far; the last is that of none."""
        known = len(self._hashes) - 1
        if known < len(self._code_of):
            fresh = np.array(list(self._code_of)[known:], object)
            added = pd.util.hash_array(fresh, categorize=False)
            self._hashes = np.concatenate([self._hashes[:-1], added, np.zeros(1, np.uint64)])
        return self._hashes

    def array(self) -> np.ndarray:
        """(names,) the names as objects."""
        names = np.empty(len(self._code_of), object)
        names[:] = list(self._code_of)
        return names


def _digest(
    message_ids: pa.Array, names: list[np.ndarray], times: np.ndarray, values: np.ndarray
) -> np.uint64:
    """A sum over events, so that neither their order nor how they are cut into batches matters."""
    found = pd.util.hash_array(message_ids.to_numpy(zero_copy_only=False), categorize=False)
    with np.errstate(over="ignore"):
        for odd, hashes in zip(_ODD, names, strict=True):
            found = (found ^ hashes) * odd
        found = (found ^ times.view(np.uint64)) * _ODD[0]
        found = (found ^ np.nan_to_num(values).view(np.uint32).astype(np.uint64)) * _ODD[1]
        found ^= found >> np.uint64(29)
        return np.uint64(found.sum(dtype=np.uint64))
