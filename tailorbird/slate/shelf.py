"""The shelf: what filters need to know of every item as arrays aligned with the catalogue, stock the newest known."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from tailorbird.catalog.catalog import ITEM_COLUMNS, Catalog
from tailorbird.catalog.files import ROWS_AT_ONCE
from tailorbird.catalog.grown import GrownCatalog
from tailorbird.catalog.keys import rows_of_keys, stable_keys
from tailorbird.catalog.log.history import Versions, no_history
from tailorbird.catalog.log.told import Told
from tailorbird.catalog.passing import ItemSource
from tailorbird.models.allowed import Blocked
from tailorbird.plumbing.appended import appended
from tailorbird.slate.blocks import Block, Blocks
from tailorbird.slate.filtering.columns import NUMBERS, Filling, ItemColumns, object_of
from tailorbird.slate.filtering.selection import BITMAP_SECONDS, Selections
from tailorbird.slate.filtering.terms import Term

ASKED = ("item_id", "categories", "brand", *NUMBERS, "attributes")
"""The columns of the catalogue that expressions may ask of."""
_OF_NO_STOCK = ("shelf_of", "_shelf_codes", "_keys")


@dataclass(frozen=True)
class Shelf:
    """Items as filters see them: stock (n,) with NaN for unknown, and what expressions can ask of them.

    With ``columns`` the shelf is live: what these say of stock, launches, deletions and every attribute holds, and they may
    change under it, by one thread. Blocks are made anew when they have.
    """

    catalog: Catalog
    stock: np.ndarray  # (n,) float64
    columns: ItemColumns | None = field(default=None, repr=False, compare=False)
    past: Versions | None = field(default=None, repr=False, compare=False)
    """What stocks were before; None where only the present is asked for."""

    @classmethod
    def of(cls, catalog: Catalog) -> "Shelf":
        """Make the shelf of a catalogue with the stock it names."""
        return cls(catalog, catalog.numbers("stock"))

    @classmethod
    def of_past(
        cls, catalog: Catalog, history: pd.DataFrame | None = None, *, current: Catalog | None = None
    ) -> "Shelf":
        """A shelf for instants of the past: with the stock that the catalogue's ``history`` says held then.

        Where an item was never seen to change, its stock of that time is unknown: today's is held against nothing.
        ``current`` names today's stock where ``catalog`` is an older one.
        """
        past = Versions(no_history() if history is None else history, _rows_of(catalog, history))
        changed = np.zeros(len(catalog), bool)
        changed[past.rows] = True
        newest = catalog if current is None else _as_in(catalog, current)
        stock = newest.items["stock"].to_numpy(float)
        return cls(catalog, np.where(changed, stock, np.nan), past=past)

    def restocked(self, current: ItemSource) -> "Shelf":
        """The same items, live, with all that ``current`` says of them; an item that left the catalogue is out of stock."""
        filling, gone = Filling(len(self)), np.ones(len(self), bool)
        for part in current.parts(ASKED):
            rows = self.catalog.rows(part.item_ids)
            there = np.flatnonzero(rows >= 0)
            filling.put(rows[there], part.items if len(there) == len(part) else part.some(there))
            gone[rows[there]] = False
        for start in range(0, len(self), ROWS_AT_ONCE):
            left = start + np.flatnonzero(gone[start : start + ROWS_AT_ONCE])
            if len(left):
                filling.put(left, self.catalog.some(left))
                filling.sell_out(left)
        columns = filling.done()
        fresh = replace(self, stock=columns.numbers("stock").copy(), columns=columns)
        fresh.__dict__.update({name: value for name, value in self.__dict__.items() if name in _OF_NO_STOCK})
        return fresh

    def tell(self, items: Mapping[str, Told]) -> None:
        """Take over what was told of items; those of another catalogue are left out. Only a live shelf hears."""
        if self.columns is None:
            return
        rows = [(self.catalog.row_of.get(key, -1), told) for key, told in items.items()]
        known = [(row, told) for row, told in rows if row >= 0]
        if known:
            self.columns.change(known)

    def grown(self, catalog: GrownCatalog) -> "Shelf":
        """The shelf of a catalogue with more items at its end; this one goes on without them.

        Of a live shelf the columns are the same: they hear of the new items here.
        """
        count = len(self)
        more = catalog.some(np.arange(count, len(catalog)))
        if self.columns is not None:
            told = [{str(name): value for name, value in row.items()} for row in more.to_dict("records")]
            self.columns.change(
                (count + place, {**row, "attributes": object_of(row["attributes"])})
                for place, row in enumerate(told)
            )
        fresh = replace(self, catalog=catalog, stock=appended(self.stock, more["stock"].to_numpy(float)))
        keys, rows = self._keys
        new = stable_keys(more["item_id"])
        order = np.argsort(new, kind="stable")
        places = np.searchsorted(keys, new[order])
        fresh.__dict__.update(
            shelf_of=appended(self.shelf_of, self._shelves_of(more)),
            _shelf_codes=self._shelf_codes,
            _keys=(np.insert(keys, places, new[order]), np.insert(rows, places, count + order)),
        )
        return fresh

    def __len__(self) -> int:
        return len(self.stock)

    def sold_out_at(self, now: float) -> np.ndarray | Block:
        """The items whose stock is known to be used up at ``now`` (epoch seconds): a block; of the past, rows (m,)."""
        if self.past is None:
            return self.blocks.kept(
                ("sold out", self._touched("stock")), lambda: Block(self._numbers("stock") <= 0)
            )
        rows = np.unique(self.past.rows)
        held = self.past.at(rows, np.full(len(rows), round(now * 1e6), np.int64))
        return rows[self.past.numbers("stock", self.stock[rows], held) <= 0]

    def unlaunched_at(self, now: float) -> Block:
        """The items that are known to be launched after ``now`` (epoch seconds)."""
        return self._passing("launched_at", now, lambda launches: launches > now)

    def deleted_at(self, now: float) -> Block:
        """The items that are there no more at ``now`` (epoch seconds)."""
        return self._passing("deleted_at", now, lambda deletions: deletions <= now)

    def breaking(self, term: Term, *, now: float) -> Block:
        """The items that do not fulfil an expression."""
        selection = self.selections.of(term)
        moment = int(now // BITMAP_SECONDS) if selection.clocked else 0
        key = (term, self._version, moment)
        return self.blocks.kept(key, lambda: Block(~selection.bitmap(now=now)[: len(self)]))

    def all_but(self, rows: frozenset[int]) -> Block:
        """Every item but those of ``rows``."""

        def others() -> Block:
            mask = np.ones(len(self), bool)
            mask[list(rows)] = False
            return Block(mask)

        return self.blocks.kept(("all but", rows), others)

    def blocked(self, blocks: Sequence[Block]) -> Blocked:
        """All ``blocks`` together: each row has the number, from 1, of the first that has it; empty ones are not counted."""
        full = tuple(block for block in blocks if block.count)
        return self.blocks.joined(full, count=len(self))

    @cached_property
    def blocks(self) -> Blocks:
        """What was made for one request and may serve the next."""
        return Blocks()

    @cached_property
    def selections(self) -> Selections:
        """The expressions asked lately."""
        return Selections(self.columns if self.columns is not None else ItemColumns.of(self.catalog))

    @property
    def _version(self) -> int:
        return self.columns.version if self.columns is not None else 0

    def _touched(self, name: str) -> int:
        return self.columns.touched[name] if self.columns is not None else 0

    def _numbers(self, name: str) -> np.ndarray:
        """(n,) a column of numbers as it is now."""
        if self.columns is not None:
            return self.columns.numbers(name)[: len(self)]  # it may have heard of more items by now
        return self.stock if name == "stock" else self.catalog.numbers(name)

    def _passing(self, name: str, now: float, is_blocked: Callable[[np.ndarray], np.ndarray]) -> Block:
        """A block over a column of instants, the same until the clock passes one of them."""
        touched, instants = self._instants(name)
        key = (name, touched, int(np.searchsorted(instants, now, side="right")))
        if not len(instants):
            return self._nothing
        return self.blocks.kept(key, lambda: Block(is_blocked(self._numbers(name))))

    def _instants(self, name: str) -> tuple[int, np.ndarray]:
        """(m,) the known instants of a column, ascending, and the number that it had before they were read."""
        kept, version = self._kept_instants, self._touched(name)
        found = kept.get(name)
        if found is None or found[0] != version:
            values = self._numbers(name)
            found = kept[name] = version, np.sort(values[np.isfinite(values)])
        return found

    @cached_property
    def _kept_instants(self) -> dict[str, tuple[int, np.ndarray]]:
        return {}

    @cached_property
    def _nothing(self) -> Block:
        return Block(np.zeros(len(self), bool))

    @cached_property
    def shelf_of(self) -> np.ndarray:
        """(n,) int32 code of each item's most specific category; -1 where there is none."""
        shelves = [self._shelves_of(part.items) for part in self.catalog.parts(("categories",))]
        return np.concatenate([np.zeros(0, np.int32), *shelves])

    @cached_property
    def _shelf_codes(self) -> dict[str, int]:
        return {}

    def _shelves_of(self, items: pd.DataFrame) -> np.ndarray:
        """(c,) int32 codes of the most specific categories of a table of items; new ones for those not met before."""
        codes = self._shelf_codes
        last = (str(names[-1]) if len(names) else None for names in items["categories"])
        return np.fromiter(
            (-1 if name is None else codes.setdefault(name, len(codes)) for name in last),
            np.int32,
            len(items),
        )

    @property
    def brand_of(self) -> np.ndarray:
        """(≥ n,) int32 code of each item's brand; 0 where there is none."""
        brand = self.selections.columns.attribute("brand")
        assert brand is not None
        assert brand.coded is not None
        return brand.coded.codes

    def rows_of_keys(self, keys: np.ndarray) -> np.ndarray:
        """(m,) int64 rows of item keys (``keys.stable_key``); -1 where a key is not of this catalogue."""
        return rows_of_keys(*self._keys, keys)

    @cached_property
    def _keys(self) -> tuple[np.ndarray, np.ndarray]:
        return self.catalog.by_key


def _rows_of(catalog: Catalog, history: pd.DataFrame | None) -> np.ndarray:
    return catalog.rows([] if history is None else history["item_id"]).astype(np.int64)


def _as_in(catalog: Catalog, current: Catalog) -> Catalog:
    """The rows of ``catalog`` with the values of ``current``; what left it is out of stock."""
    if current is catalog:
        return catalog
    rows = current.rows(catalog.item_ids)
    gone = np.flatnonzero(rows < 0)
    columns = {}
    for name in ITEM_COLUMNS:  # one by one: copying objects lets no other thread run
        own = catalog.items[name].to_numpy()
        newest = current.items[name].to_numpy()[np.maximum(rows, 0)] if len(current) else own.copy()
        newest[gone] = 0.0 if name == "stock" else own[gone]
        columns[name] = newest
    return Catalog(pd.DataFrame(columns))
