"""The shelf: what filters need to know of every item as arrays aligned with the catalogue, stock the newest known."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
import pandas as pd

from tailorbird.catalog.catalog import Catalog
from tailorbird.catalog.history import Versions, no_history
from tailorbird.features.facts import stable_keys
from tailorbird.models.allowed import Blocked
from tailorbird.slate.query import Rules

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


_OF_NO_STOCK = ("shelf_of", "price", "_keys", "_launches")


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
        fresh = replace(self, stock=np.where(gone, 0.0, newest.to_numpy(float)))
        fresh.__dict__.update({name: value for name, value in self.__dict__.items() if name in _OF_NO_STOCK})
        return fresh

    def __len__(self) -> int:
        return len(self.stock)

    def sold_out_at(self, now: float) -> "np.ndarray | Block":
        """The items whose stock is known to be used up at ``now`` (epoch seconds): a block; of the past, rows (m,)."""
        if self.past is None:
            return self._sold_out
        rows = np.unique(self.past.rows)
        held = self.past.at(rows, np.full(len(rows), round(now * 1e6), np.int64))
        return rows[self.past.numbers("stock", self.stock[rows], held) <= 0]

    def unlaunched_at(self, now: float) -> "Block":
        """The items that are known to be launched after ``now`` (epoch seconds)."""
        to_come, last = self._launches
        if now >= last:
            return self._nothing
        key = len(to_come) - int(np.searchsorted(to_come, now, side="right"))
        return self.blocks.kept(("unlaunched", key), lambda: Block(self.catalog.launches > now))

    def breaking(self, rules: Rules) -> "Block":
        """The items that do not fulfil ``rules``; an unknown price fulfils no price rule."""
        return self.blocks.kept(rules, lambda: Block(~self.allowed(rules)))

    def blocked(self, blocks: Sequence["Block"]) -> Blocked:
        """All ``blocks`` together: each row has the number, from 1, of the first that has it; empty ones are not counted."""
        full = tuple(block for block in blocks if block.count)
        return self.blocks.joined(full, count=len(self))

    @cached_property
    def blocks(self) -> "Blocks":
        """What was made for one request and may serve the next."""
        return Blocks()

    @cached_property
    def _sold_out(self) -> "Block":
        return Block(self.stock <= 0)

    @cached_property
    def _nothing(self) -> "Block":
        return Block(np.zeros(len(self), bool))

    @cached_property
    def _launches(self) -> tuple[np.ndarray, float]:
        known = np.sort(self.catalog.launches[np.isfinite(self.catalog.launches)])
        return known, float(known[-1]) if len(known) else -np.inf

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


class Block:
    """Items that many requests leave out for one reason: ``mask`` (n,) bool, ``count`` of them."""

    def __init__(self, mask: np.ndarray) -> None:
        self.mask, self.count = mask, int(np.count_nonzero(mask))


class Blocks:
    """Blocks that were asked for lately, and what they are together: the oldest go."""

    def __init__(self, *, capacity: int = 16) -> None:
        self._capacity, self._lock = capacity, threading.Lock()
        self._blocks: OrderedDict[Hashable, Block] = OrderedDict()
        self._joined: OrderedDict[tuple[Block, ...], Blocked] = OrderedDict()

    def kept(self, key: Hashable, make: Callable[[], Block]) -> Block:
        """The block of ``key``, made where it is not at hand."""
        return self._found(self._blocks, key, make)

    def joined(self, blocks: tuple[Block, ...], *, count: int) -> Blocked:
        """The blocks together, over ``count`` rows."""

        def join() -> Blocked:
            code = np.zeros(count, np.uint8)
            for number in range(len(blocks), 0, -1):
                code[blocks[number - 1].mask] = number
            return Blocked(code)

        return self._found(self._joined, blocks, join)

    def _found(self, kept: "OrderedDict[Key, Value]", key: Key, make: Callable[[], Value]) -> Value:
        with self._lock:
            found = kept.get(key)
            if found is not None:
                kept.move_to_end(key)
                return found
        made = make()
        with self._lock:
            kept[key] = made
            while len(kept) > self._capacity:
                kept.popitem(last=False)
        return made
