"""What has happened to the items until now, from the online store into the tables of the models that serve."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from feature_repo.definitions import ITEM_KEY
from feature_repo.online.plugin import NOTHING_SEEN, Seen
from feature_repo.rows import Row, name_of
from tailorbird.catalog.keys import stable_keys
from tailorbird.features.items.counters import ItemCounters
from tailorbird.features.items.items import ItemTable

Changed = list[tuple[bytes, Row]]
TABLES = 4
"""Tables whose counters are held: as many as a replica serves versions, and one that comes."""


@dataclass(frozen=True)
class _Held:
    """The counters of one table's items, whose ``origin`` (n,) it is known by, and up to where they are read."""

    origin: np.ndarray
    counters: ItemCounters
    seen: Seen


class LiveItems:
    """Counters of each item, read once whole, then only where they changed.

    They are written in place: a table that was made of them before sees them too, an item's row for row. What a table's
    features compare items by (:class:`~tailorbird.features.vectors.item.ItemFeatures`) stays as it was counted.
    """

    def __init__(self, changed_since: Callable[[Seen], tuple[Seen, Changed]]) -> None:
        self._changed_since = changed_since
        self._held: list[_Held] = []

    def over(self, base: ItemTable) -> ItemTable:
        """The items of ``base`` with what has happened to them by now; what the store does not hold has not happened."""
        held = next((each for each in self._held if each.origin is base.origin), None)
        before = held.seen if held else NOTHING_SEEN
        after, changed = self._changed_since(before)
        # Where others, or those of a moment before, took the place of the rows read, what these say has not happened.
        same = held is not None and after[0] == before[0] and after[1] >= before[1]
        counters = _as_long(held.counters, base) if held and same else ItemCounters.empty(len(base))
        _write(counters, base, changed)
        others = [each for each in self._held if each.origin is not base.origin]
        self._held = [*others[-TABLES + 1 :], _Held(base.origin, counters, after)]
        return base.with_counters(counters)


def _as_long(counters: ItemCounters, base: ItemTable) -> ItemCounters:
    """The counters of a table's items; of one that has grown its own, which begin with those that were held."""
    return counters if len(counters.seen) == len(base) else base.counters


def _write(counters: ItemCounters, base: ItemTable, changed: Changed) -> None:
    places = base.rows_of_keys(stable_keys(name_of(ITEM_KEY, key) for key, _ in changed))
    newest = dict(zip(places.tolist(), (row for _, row in changed), strict=True))  # of one item told twice
    newest.pop(-1, None)
    set_counters(counters, newest)


def set_counters(counters: ItemCounters, rows: Mapping[int, Row]) -> None:
    """Put what stored rows say, by their places, into the counters."""
    if rows:
        told = rows.values()
        counters.put(
            np.fromiter(rows, np.int64),
            np.stack([np.asarray(row["item_sums"], np.float64) for row in told]),
            np.array([row["item_seen"] for row in told], np.int64),
            np.array([row["item_total"] for row in told], np.int64),
        )
