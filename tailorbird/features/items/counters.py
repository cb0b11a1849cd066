"""The items' counters: decayed sums of what happened to each item, folded in bulk or event by event.

To most items of a large catalogue nothing has happened: sums are kept of the others alone.
"""

from dataclasses import dataclass

import numpy as np

from tailorbird.features.history.records import MICROSECONDS
from tailorbird.features.history.sums import (
    ITEM_COUNTS,
    ITEM_RATES,
    ITEM_STRENGTH,
    ITEM_SUMS,
    ITEM_VALUE,
    RATING,
)
from tailorbird.features.table import COUNTED_TYPES, ITEM_HALF_LIVES
from tailorbird.plumbing.appended import appended

ROOM = 4_096
"""Items that may come; memory is taken by those to which something happens."""
_HORIZONS = len(ITEM_HALF_LIVES)
_TYPES = len(COUNTED_TYPES)


@dataclass(frozen=True, eq=False)
class ItemCounters:
    """``held[slots]`` (n, ITEM_SUMS) are the items' sums at ``seen`` (n,) int64 epoch microseconds; ``totals`` (n,) int64 events.

    ``slots`` (n,) int32 is 0 where nothing has happened, and ``held`` (m, ITEM_SUMS) begins with a row of zeros. Behind the
    rows in use there is room, of which no memory is taken until it is written to.
    """

    slots: np.ndarray
    held: np.ndarray
    seen: np.ndarray
    totals: np.ndarray

    @classmethod
    def empty(cls, count: int) -> "ItemCounters":
        """Nothing has happened to any of ``count`` items."""
        held = np.zeros((1 + count + ROOM + count // 8, ITEM_SUMS))
        return cls(np.zeros(count, np.int32), held, np.zeros(count, np.int64), np.zeros(count, np.int64))

    @property
    def sums(self) -> np.ndarray:
        """(n, ITEM_SUMS) the sums of every item, as a copy."""
        found: np.ndarray = self.held[self.slots]
        return found

    def grown(self, count: int) -> "ItemCounters":
        """The same of ``count`` items, those after the first new; what is there is shared while there is room behind it."""
        more = np.zeros(count - len(self.slots), np.int64)
        held = self.held
        if held.flags.writeable and len(held) <= count:  # a mapped one nobody writes to
            held = np.zeros((1 + count + ROOM + count // 8, held.shape[1]))
            used = int(self.slots.max(initial=0)) + 1
            held[:used] = self.held[:used]
        slots = appended(self.slots, more.astype(np.int32))
        return ItemCounters(slots, held, appended(self.seen, more), appended(self.totals, more))

    def put(self, rows: np.ndarray, sums: np.ndarray, seen: np.ndarray, totals: np.ndarray) -> None:
        """Say in place what has happened to ``rows`` (c,), each once: ``sums`` (c, ITEM_SUMS) at ``seen`` (c,), ``totals`` (c,)."""
        fresh = rows[self.slots[rows] == 0]
        first = int(self.slots.max(initial=0)) + 1 if len(fresh) else 0
        slots = np.arange(first, first + len(fresh), dtype=np.int32)
        self.held[slots] = 0.0
        self.slots[fresh] = slots
        self.held[self.slots[rows]] = sums
        self.seen[rows], self.totals[rows] = seen, totals

    def fold(self, packed: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Add RECORDs of items ``rows`` (>= 0) in place, in whatever order they come; returns the rows touched."""
        if not len(rows):
            return np.zeros(0, np.int64)
        touched, local = np.unique(rows, return_inverse=True)
        before, totals = self.seen[touched], self.totals[touched]
        latest = np.full(len(touched), np.iinfo(np.int64).min)
        np.maximum.at(latest, local, packed["time"])
        now = np.where(totals > 0, np.maximum(before, latest), latest)
        elapsed = np.where(totals > 0, now - before, 0) / MICROSECONDS
        sums = self.held[self.slots[touched]] * np.exp2(-elapsed[:, None] * ITEM_RATES)
        sums += _sums(packed, local, now)
        self.put(touched, sums, now, totals + np.bincount(local, minlength=len(touched)))
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
