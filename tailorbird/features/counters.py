"""The items' counters: decayed sums of what happened to each item, folded in bulk or event by event."""

from dataclasses import dataclass

import numpy as np

from tailorbird.features.records import MICROSECONDS
from tailorbird.features.sums import ITEM_COUNTS, ITEM_RATES, ITEM_STRENGTH, ITEM_SUMS, ITEM_VALUE, RATING
from tailorbird.features.table import COUNTED_TYPES, ITEM_HALF_LIVES

_HORIZONS = len(ITEM_HALF_LIVES)
_TYPES = len(COUNTED_TYPES)


@dataclass(frozen=True, eq=False)
class ItemCounters:
    """``sums`` (n, ITEM_SUMS) at ``seen`` (n,) int64 epoch microseconds; ``totals`` (n,) int64 events."""

    sums: np.ndarray
    seen: np.ndarray
    totals: np.ndarray

    @classmethod
    def empty(cls, count: int) -> "ItemCounters":
        """Nothing has happened to any of ``count`` items."""
        return cls(np.zeros((count, ITEM_SUMS)), np.zeros(count, np.int64), np.zeros(count, np.int64))

    def fold(self, packed: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Add RECORDs of items ``rows`` (>= 0) in place, in whatever order they come; returns the rows touched."""
        if not len(rows):
            return np.zeros(0, np.int64)
        touched, local = np.unique(rows, return_inverse=True)
        before = self.seen[touched]
        latest = np.full(len(touched), np.iinfo(np.int64).min)
        np.maximum.at(latest, local, packed["time"])
        now = np.where(self.totals[touched] > 0, np.maximum(before, latest), latest)
        elapsed = np.where(self.totals[touched] > 0, now - before, 0) / MICROSECONDS
        sums = self.sums[touched] * np.exp2(-elapsed[:, None] * ITEM_RATES)
        self.sums[touched] = sums + _sums(packed, local, now)
        self.seen[touched] = now
        self.totals[touched] += np.bincount(local, minlength=len(touched))
        return touched


def _sums(packed: np.ndarray, rows: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(n_items, ITEM_SUMS) what the events add at each item's ``seen``."""
    sums = np.zeros((len(seen), ITEM_SUMS))
    elapsed = (seen[rows] - packed["time"]) / MICROSECONDS
    types = packed["type"].astype(np.int64)
    cells = rows * _TYPES + types
    for horizon in range(_HORIZONS):
        weights = np.exp2(-elapsed * ITEM_RATES[horizon])
        counted = np.bincount(cells, weights=weights, minlength=len(seen) * _TYPES)
        sums[:, horizon:ITEM_COUNTS:_HORIZONS] = counted.reshape(len(seen), _TYPES)
        said = weights * packed["strength"]
        sums[:, ITEM_STRENGTH.start + horizon] = np.bincount(rows, weights=said, minlength=len(seen))
    value = packed["value"].astype(np.float64)
    rated = (types == RATING) & np.isfinite(value)
    sums[:, ITEM_VALUE.start] = np.bincount(rows[rated], minlength=len(seen))
    sums[:, ITEM_VALUE.start + 1] = np.bincount(rows[rated], weights=value[rated], minlength=len(seen))
    return sums
