"""The shelf: what filters need to know of every item as arrays aligned with the catalogue, stock the newest known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from tailorbird.catalog.catalog import Catalog
from tailorbird.catalog.history import Versions, no_history
from tailorbird.features.facts import stable_keys
from tailorbird.slate.query import Rules


@dataclass(frozen=True)
class Shelf:
    """Items as filters see them: price (n,), stock (n,) with NaN for unknown, and who belongs to which category or brand."""

    catalog: Catalog
    stock: np.ndarray  # (n,) float64
    by_category: Mapping[str, np.ndarray] = field(repr=False, compare=False)
    """Rows (m,) int32 of each category's items: made once, so that a caller's filter never scans the catalogue."""
    by_brand: Mapping[str, np.ndarray] = field(repr=False, compare=False)
    past: Versions | None = field(default=None, repr=False, compare=False)
    """What stocks were before; None where only the present is asked for."""

    @classmethod
    def of(cls, catalog: Catalog) -> "Shelf":
        """Make the shelf of a catalogue with the stock it names."""
        items = catalog.items
        counts = np.fromiter(map(len, items["categories"]), np.int64, len(items))
        return cls(
            catalog,
            items["stock"].to_numpy(float),
            by_category=_rows_by_name(
                np.repeat(np.arange(len(items)), counts),
                [name for names in items["categories"] for name in names],
            ),
            by_brand=_rows_by_name(np.arange(len(items)), items["brand"].tolist()),
        )

    @classmethod
    def of_past(
        cls, catalog: Catalog, history: pd.DataFrame | None = None, *, current: Catalog | None = None
    ) -> "Shelf":
        """A shelf for instants of the past: with the stock that the catalogue's ``history`` says held then.

        Where an item was never seen to change, its stock of that time is unknown: today's is held against nothing.
        ``current`` names today's stock where ``catalog`` is an older one.
        """
        shelf = cls.of(catalog)
        past = Versions(no_history() if history is None else history, _rows_of(catalog, history))
        changed = np.zeros(len(catalog), bool)
        changed[past.rows] = True
        if current is not None:
            shelf = shelf.restocked(current)
        return replace(shelf, stock=np.where(changed, shelf.stock, np.nan), past=past)

    def restocked(self, current: Catalog) -> "Shelf":
        """The same items with the stock that ``current`` names; an item that left the catalogue is out of stock."""
        newest = current.items.set_index("item_id")["stock"].reindex(self.catalog.item_ids)
        gone = ~self.catalog.items["item_id"].isin(current.items["item_id"]).to_numpy()
        return replace(self, stock=np.where(gone, 0.0, newest.to_numpy(float)))

    def __len__(self) -> int:
        return len(self.stock)

    def sold_out_at(self, now: float) -> np.ndarray:
        """(m,) rows of the items whose stock is known to be used up at ``now`` (epoch seconds)."""
        if self.past is None:
            return self.sold_out
        rows = np.unique(self.past.rows)
        held = self.past.at(rows, np.full(len(rows), round(now * 1e6), np.int64))
        return rows[self.past.numbers("stock", self.stock[rows], held) <= 0]

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
            keep &= self._any_of(self.by_category, rules.categories)
        if rules.brands:
            keep &= self._any_of(self.by_brand, rules.brands)
        if rules.min_price is not None:
            keep &= self.price >= rules.min_price
        if rules.max_price is not None:
            keep &= self.price <= rules.max_price
        return keep

    def _any_of(self, rows_of: Mapping[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
        mask = np.zeros(len(self), bool)
        for name in names:  # a name that nobody uses costs one look-up
            rows = rows_of.get(name)
            if rows is not None:
                mask[rows] = True
        return mask


def _rows_of(catalog: Catalog, history: pd.DataFrame | None) -> np.ndarray:
    return catalog.rows([] if history is None else history["item_id"]).astype(np.int64)


def _rows_by_name(rows: np.ndarray, names: Sequence[object]) -> dict[str, np.ndarray]:
    """The rows of every name; ``rows`` and ``names`` are (m,), a row may occur with several names."""
    codes, uniques = pd.factorize(np.asarray(names, dtype=object))
    order = np.argsort(codes, kind="stable")
    order = order[np.searchsorted(codes[order], 0) :]  # -1: no name
    ends = np.cumsum(np.bincount(codes[order], minlength=len(uniques)))
    parts = np.split(rows[order].astype(np.int32), ends[:-1]) if len(uniques) else []
    return dict(zip(map(str, uniques), parts, strict=True))
