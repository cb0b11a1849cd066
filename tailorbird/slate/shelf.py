"""The shelf: what filters need to know of every item as arrays aligned with the catalogue, stock the newest known."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from tailorbird.catalog.catalog import Catalog
from tailorbird.features.facts import stable_keys
from tailorbird.slate.query import Rules


@dataclass(frozen=True)
class Shelf:
    """Items as filters see them: price (n,), stock (n,) with NaN for unknown, and who belongs to which category or brand."""

    catalog: Catalog
    stock: np.ndarray  # (n,) float64
    _masks: dict[tuple[str, str], np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, catalog: Catalog) -> "Shelf":
        """Make the shelf of a catalogue with the stock it names."""
        return cls(catalog, catalog.items["stock"].to_numpy(float))

    def restocked(self, current: Catalog) -> "Shelf":
        """The same items with the stock that ``current`` names; an item that left the catalogue is out of stock."""
        newest = current.items.set_index("item_id")["stock"].reindex(self.catalog.item_ids)
        gone = ~self.catalog.items["item_id"].isin(current.items["item_id"]).to_numpy()
        return replace(self, stock=np.where(gone, 0.0, newest.to_numpy(float)))

    def __len__(self) -> int:
        return len(self.stock)

    @cached_property
    def sold_out(self) -> np.ndarray:
        """(m,) rows of the items whose stock is known to be used up."""
        return np.flatnonzero(self.stock <= 0)

    @cached_property
    def shelf_of(self) -> np.ndarray:
        """(n,) int32 code of each item's most specific category; -1 where there is none."""
        last = [categories[-1] if categories else None for categories in self.catalog.items["categories"]]
        codes: np.ndarray = pd.factorize(np.asarray(last, dtype=object))[0].astype(np.int32)
        return codes

    @cached_property
    def price(self) -> np.ndarray:
        """(n,) prices, NaN where unknown."""
        return self.catalog.items["price"].to_numpy(float)

    def rows_of_keys(self, keys: np.ndarray) -> np.ndarray:
        """(m,) int64 rows of item keys (``facts.stable_key``); -1 where a key is not of this catalogue."""
        ordered, rows = self._keys
        if not len(ordered) or not len(keys):
            return np.full(len(keys), -1, np.int64)
        where = np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)
        return np.where(ordered[where] == keys, rows[where], -1)

    @cached_property
    def _keys(self) -> tuple[np.ndarray, np.ndarray]:
        keys = stable_keys(self.catalog.item_ids)
        order = np.argsort(keys, kind="stable")
        return keys[order], order.astype(np.int64)

    def allowed(self, rules: Rules) -> np.ndarray:
        """(n,) True where an item fulfils ``rules``; an unknown price fulfils no price rule."""
        keep = np.ones(len(self), bool)
        if rules.categories:
            keep &= np.any([self._mask("categories", name) for name in rules.categories], axis=0)
        if rules.brands:
            keep &= np.any([self._mask("brand", name) for name in rules.brands], axis=0)
        if rules.min_price is not None:
            keep &= self.price >= rules.min_price
        if rules.max_price is not None:
            keep &= self.price <= rules.max_price
        return keep

    def _mask(self, column: str, name: str) -> np.ndarray:
        mask = self._masks.get((column, name))
        if mask is None:
            values = self.catalog.items[column]
            mask = (
                (values == name).to_numpy()
                if column == "brand"
                else np.fromiter((name in value for value in values), bool, len(self))
            )
            if mask.any():  # names nobody uses are not kept: the caller chooses them
                self._masks[column, name] = mask
        return mask
