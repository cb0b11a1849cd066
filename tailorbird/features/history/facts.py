"""What a profile needs to know of an item when an event on it arrives: key, buckets of category and brand, price."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from tailorbird.catalog.catalog import Catalog
from tailorbird.catalog.keys import stable_key, stable_keys
from tailorbird.catalog.log.history import Versions
from tailorbird.events.valence import FIVE_STARS, RatingScale

BUCKETS = 65_536
"""Categories live in buckets 1..65535, brands in 65537..131071; 0 means none.

Hashing bounds a profile and keeps its sums order-independent: nothing is ever evicted (Weinberger et al. 2009).
"""


@lru_cache(maxsize=65_536)
def bucket(name: str) -> int:
    """Put a category or brand into a bucket 1..65535; the empty name into 0."""
    return 1 + stable_key(name) % (BUCKETS - 1) if name else 0


class Items(NamedTuple):
    """The buckets of items' categories and brands: ``buckets[indptr[p] : indptr[p + 1]]`` are those of place p, ascending."""

    indptr: np.ndarray
    buckets: np.ndarray


@dataclass(frozen=True)
class ItemFacts:
    """Arrays over the n catalogue rows, then over the m versions that newer values replaced, last one row (-1) for unknown items.

    ``keys`` (n + m + 1,) int64; ``log_prices`` (n + m + 1,) float32, NaN unknown; ``categories`` and ``brands`` (n + m + 1,)
    uint16 buckets, of the most specific category; ``affinity_keys``/``affinity_indptr``: all buckets of each row, ascending.
    ``scale`` is that of the ratings people give.
    """

    row_of: dict[str, int]
    count: int
    versions: Versions
    keys: np.ndarray
    log_prices: np.ndarray
    categories: np.ndarray
    brands: np.ndarray
    affinity_indptr: np.ndarray
    affinity_keys: np.ndarray
    scale: RatingScale = FIVE_STARS

    @classmethod
    def of(cls, catalog: Catalog, *, scale: RatingScale = FIVE_STARS) -> "ItemFacts":
        """Derive the facts of every item and of everything it was."""
        past = catalog.versions.history
        lists = [*catalog.items["categories"], *past["categories"]]
        names = [*catalog.items["brand"], *past["brand"]]
        brands = np.array([bucket(brand) for brand in names] + [0], np.int64)
        specific = [bucket(categories[-1]) if len(categories) else 0 for categories in lists]
        affinity = [
            sorted({bucket(c) for c in categories if c} | ({BUCKETS + brand} if brand else set()))
            for categories, brand in zip(lists, brands.tolist(), strict=False)
        ]
        price = np.concatenate([table["price"].to_numpy(np.float64) for table in (catalog.items, past)])
        keys = stable_keys(catalog.item_ids)
        known = np.where(np.isfinite(price) & (price >= 0), price, np.nan)
        return cls(
            row_of=dict(catalog.row_of),
            count=len(catalog),
            versions=catalog.versions,
            keys=np.concatenate([keys, keys[catalog.versions.rows], np.zeros(1, np.int64)]),
            log_prices=np.append(np.log1p(known), np.nan).astype(np.float32),
            categories=np.array([*specific, 0], np.uint16),
            brands=brands.astype(np.uint16),
            affinity_indptr=np.concatenate([[0], np.cumsum([len(keys) for keys in affinity] + [0])]).astype(
                np.int64
            ),
            affinity_keys=np.array([key for keys in affinity for key in keys], np.int32),
            scale=scale,
        )

    @cached_property
    def buckets(self) -> Items:
        """All buckets of each place, as compiled code reads them."""
        return Items(self.affinity_indptr, self.affinity_keys)

    def rows(self, item_ids: Iterable[str | None]) -> np.ndarray:
        """(n,) int64 rows of ``item_ids``, -1 where unknown or None."""
        return np.fromiter((self.row_of.get(item_id or "", -1) for item_id in item_ids), dtype=np.int64)

    def held_at(self, rows: np.ndarray, received: np.ndarray) -> np.ndarray:
        """(n,) int64 places in the arrays: what items ``rows`` were when an event on them was received (epoch microseconds)."""
        chosen = self.versions.at(rows, received)
        return np.where(chosen >= 0, self.count + chosen, rows)

    def affinity_of(self, row: int) -> np.ndarray:
        """The buckets of one row's categories and brand."""
        if row < 0:
            return self.affinity_keys[:0]
        return self.affinity_keys[self.affinity_indptr[row] : self.affinity_indptr[row + 1]]
