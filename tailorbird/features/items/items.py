"""What is known of the items, as arrays aligned with the catalogue: attributes, and what happened to each."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from tailorbird.catalog.catalog import Catalog
from tailorbird.catalog.keys import by_key, rows_of_keys
from tailorbird.events.columns import EventColumns
from tailorbird.events.valence import FIVE_STARS, RatingScale, strengths
from tailorbird.features.history.facts import BUCKETS, ItemFacts
from tailorbird.features.history.records import RECORD, microseconds
from tailorbird.features.history.sums import ITEM_SUMS, OTHER, TYPE_CODE
from tailorbird.features.items.counters import ItemCounters
from tailorbird.plumbing.disk import mapped

STATIC = (
    "log_price",
    "has_price",
    "price_rank",
    "price_rank_in_category",
    "in_stock",
    "category_size",
    "brand_size",
)
MAX_CATEGORIES = 8
ARRAYS = (
    "keys",
    "log_prices",
    "stock",
    "launched_at",
    "codes",
    "primary",
    "brands",
    "buckets",
    "slots",
    "held",
    "seen",
    "totals",
)
MADE = ("static", "filled_prices")
"""Arrays that are made of these."""


@dataclass(frozen=True, eq=False)
class ItemTable:
    """Arrays over the n items of a catalogue, in its order.

    ``keys`` (n,) int64 stable keys; ``log_prices`` (n,) float32, NaN unknown; ``stock`` (n,), ``launched_at`` (n,) float64,
    NaN unknown; ``codes`` (n, c) int32 indices into ``buckets`` of an item's categories, padded with len(buckets) - 1;
    ``primary``, ``brands`` (n,) int32 likewise; ``buckets`` (b + 1,) int32 affinity keys, the last 0 for none;
    ``slots``, ``held``, ``seen`` and ``totals`` are :class:`~tailorbird.features.items.counters.ItemCounters`.
    """

    keys: np.ndarray
    log_prices: np.ndarray
    stock: np.ndarray
    launched_at: np.ndarray
    codes: np.ndarray
    primary: np.ndarray
    brands: np.ndarray
    buckets: np.ndarray
    slots: np.ndarray
    held: np.ndarray
    seen: np.ndarray
    totals: np.ndarray

    @classmethod
    def of(cls, catalog: Catalog, counters: ItemCounters) -> "ItemTable":
        """Join the catalogue's static attributes with given counters."""
        facts = ItemFacts.of(catalog)
        n = len(catalog)
        buckets = np.append(np.unique(facts.affinity_keys[: facts.affinity_indptr[n]]), 0).astype(np.int32)
        none = len(buckets) - 1
        code_of = {int(bucket): code for code, bucket in enumerate(buckets[:-1])}
        lists = [[key for key in facts.affinity_of(row).tolist() if key < BUCKETS] for row in range(n)]
        width = max(1, min(MAX_CATEGORIES, max((len(keys) for keys in lists), default=1)))
        codes = np.full((n, width), none, np.int32)
        for row, keys in enumerate(lists):
            codes[row, : min(width, len(keys))] = [code_of[key] for key in keys[:width]]
        return cls(
            keys=facts.keys[:n],
            log_prices=facts.log_prices[:n],
            stock=catalog.items["stock"].to_numpy(np.float64),
            launched_at=catalog.items["launched_at"].to_numpy(np.float64),
            codes=codes,
            primary=np.array([code_of.get(c, none) for c in facts.categories[:n].tolist()], np.int32),
            brands=np.array([code_of.get(BUCKETS + b, none) for b in facts.brands[:n].tolist()], np.int32),
            buckets=buckets,
            slots=counters.slots,
            held=counters.held,
            seen=counters.seen,
            totals=counters.totals,
        )

    @classmethod
    def build(
        cls, catalog: Catalog, events: EventColumns, now: float, *, scale: RatingScale = FIVE_STARS
    ) -> "ItemTable":
        """Count what had happened to each item, and was received, before ``now`` (epoch seconds).

        Prices, stock and launches are those of that instant.
        """
        counters = cls.counted(catalog, events, now, scale=scale)
        return cls.of(catalog.as_of(now), counters)

    @staticmethod
    def counted(
        catalog: Catalog, events: EventColumns, now: float, *, scale: RatingScale = FIVE_STARS
    ) -> ItemCounters:
        """What had happened to each item, and was received, before ``now`` (epoch seconds)."""
        instant = microseconds(now)
        rows = events.rows(catalog.row_of)
        heard = (rows >= 0) & (events.times < instant) & (events.received <= instant)
        counters = ItemCounters.empty(len(catalog))
        for part in events.chunks():
            chosen = np.flatnonzero(heard[part])
            counters.fold(_records(events, part, scale)[chosen], rows[part][chosen])
        return counters

    def with_counters(self, counters: ItemCounters) -> "ItemTable":
        """The same items after more has happened; what does not depend on events is shared, not computed again."""
        table = replace(
            self, slots=counters.slots, held=counters.held, seen=counters.seen, totals=counters.totals
        )
        derived = {name: value for name, value in self.__dict__.items() if name not in ARRAYS}
        table.__dict__.update(derived)
        return table

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def counters(self) -> ItemCounters:
        """What has happened to the items."""
        return ItemCounters(self.slots, self.held, self.seen, self.totals)

    @property
    def sums(self) -> np.ndarray:
        """(n, ITEM_SUMS) decayed sums at ``seen``, as a copy."""
        return self.counters.sums

    def save(self, folder: Path) -> None:
        """Write one npy file an array, and of what is made from them what would take as much memory in every process."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {name: getattr(self, name) for name in (*ARRAYS, *MADE)}
        arrays["held"] = self.held[: int(self.slots.max(initial=0)) + 1]
        arrays["ordered_keys"], arrays["rows_by_key"] = self._by_key
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> "ItemTable":
        """Map what ``save`` wrote into memory."""
        arrays = {path.stem: mapped(path) for path in folder.glob("*.npy")}
        if "sums" in arrays:  # of an older version: a row of sums for every item
            arrays["slots"] = np.where(arrays["totals"] > 0, np.cumsum(arrays["totals"] > 0), 0).astype(
                np.int32
            )
            held = arrays["sums"][arrays["totals"] > 0]
            arrays["held"] = np.concatenate([np.zeros((1, ITEM_SUMS)), held])
        table = cls(**{name: arrays[name] for name in ARRAYS})
        table.__dict__.update({name: arrays[name] for name in MADE if name in arrays})
        if "ordered_keys" in arrays:
            table.__dict__["_by_key"] = arrays["ordered_keys"], arrays["rows_by_key"]
        return table

    @cached_property
    def filled_prices(self) -> np.ndarray:
        """(n, 2) float32: log prices with 0 for unknown, and 1 where known."""
        known = np.isfinite(self.log_prices)
        return np.stack([np.where(known, self.log_prices, 0.0), known], axis=1).astype(np.float32)

    @cached_property
    def code_of_bucket(self) -> np.ndarray:
        """(2 * BUCKETS,) int32: an affinity key's code, len(buckets) - 1 where no item has it."""
        codes = np.full(2 * BUCKETS, len(self.buckets) - 1, np.int32)
        codes[self.buckets[:-1]] = np.arange(len(self.buckets) - 1)
        return codes

    def rows_of_keys(self, keys: np.ndarray) -> np.ndarray:
        """(m,) int64 rows of item ``keys`` (m,); -1 where no item has a key."""
        return rows_of_keys(*self._by_key, keys)

    @cached_property
    def _by_key(self) -> tuple[np.ndarray, np.ndarray]:
        return by_key(self.keys)

    def sizes(self, codes: np.ndarray) -> np.ndarray:
        """(len(buckets),) float32 how many items have each of the ``codes`` (n,); 0 for none."""
        sizes = np.bincount(codes, minlength=len(self.buckets)).astype(np.float32)
        sizes[len(self.buckets) - 1] = 0.0
        return sizes

    @cached_property
    def origin(self) -> np.ndarray:
        """The keys of the table that this one grew from, its own where it did not."""
        return self.keys

    @cached_property
    def prices_by_category(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Known log prices ascending (m,), the same category by category (m,), and (b + 2,) where each one's begin."""
        known = np.flatnonzero(np.isfinite(self.log_prices))
        prices, primary = self.log_prices[known], self.primary[known]
        order = np.lexsort((prices, primary))
        starts = np.searchsorted(primary[order], np.arange(len(self.buckets) + 1))
        return np.sort(prices), prices[order], starts

    @cached_property
    def static(self) -> np.ndarray:
        """(n, len(STATIC)) float32: the features that depend neither on events nor on the instant."""
        x = np.zeros((len(self), len(STATIC)), np.float32)
        known = np.isfinite(self.log_prices)
        in_category = pd.Series(self.log_prices).groupby(self.primary).rank(pct=True).fillna(0.5)
        columns: dict[str, np.ndarray] = {
            "log_price": np.where(known, self.log_prices, 0.0),
            "has_price": known,
            "price_rank": np.where(known, pd.Series(self.log_prices).rank(pct=True), 0.5),
            "price_rank_in_category": in_category.to_numpy(),
            "in_stock": ~(self.stock <= 0),
        }
        for name, codes in (("category_size", self.primary), ("brand_size", self.brands)):
            columns[name] = np.log1p(self.sizes(codes)[codes])
        for at, name in enumerate(STATIC):
            x[:, at] = columns[name]
        return x


def _records(events: EventColumns, part: slice, scale: RatingScale) -> np.ndarray:
    """(n,) RECORD of a stretch of events with what item counters read: time, type, value and strength."""
    types = events.names_of_types(part)
    packed = np.zeros(len(types), RECORD)
    values = scale.rated_many(types, events.values[part])
    packed["time"], packed["value"] = events.times[part], values
    packed["type"] = types.map(TYPE_CODE).fillna(OTHER).to_numpy(np.uint8)
    packed["strength"] = strengths(types, pd.Series(values), scale=scale)
    return packed


class StaticItems:
    """The stored features of items that events do not change (table.STORED_ITEM), in the catalogue's order."""

    def __init__(self, catalog: Catalog) -> None:
        items = catalog.items
        bands = pd.Series(np.ceil(pd.Series(items["price"]).rank(pct=True) * 5) - 1)
        specific = [categories[-1] if len(categories) else "" for categories in items["categories"]]
        self._columns = {
            "item_id": items["item_id"].to_numpy(object),
            "category": np.array([*specific, None], object)[:-1],
            "brand": items["brand"].to_numpy(object),
            "price": items["price"].to_numpy(np.float64),
            "price_band": bands.fillna(-1).astype(np.int64).to_numpy(),
            "launched_at": items["launched_at"].to_numpy(np.float64),
            "content_row": np.arange(len(items), dtype=np.int64),
        }

    def rows(self, places: np.ndarray) -> list[dict[str, object]]:
        """The features of the items at catalogue rows ``places`` (n,), by name."""
        columns = [column[places].tolist() for column in self._columns.values()]
        return [dict(zip(self._columns, values, strict=True)) for values in zip(*columns, strict=True)]
