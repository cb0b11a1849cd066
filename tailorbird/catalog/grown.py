"""A catalogue with more items at its end: what was there is shared, rows keep their numbers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from tailorbird.catalog.catalog import ITEM_COLUMNS, Catalog
from tailorbird.catalog.mapped import Names
from tailorbird.plumbing.appended import appended


class GrownCatalog(Catalog):
    """``base`` and after its rows those of ``more``. The table of all items is made only for whoever asks for it."""

    def __init__(self, base: Catalog, more: Catalog, item_ids: Any) -> None:
        self.__dict__.update(base=base, more=more, item_ids=item_ids, history=base.history, stamp=base.stamp)
        own = {item_id: len(base) + row for row, item_id in enumerate(more.item_ids)}
        self.__dict__["row_of"] = _Either(base.row_of, own)

    base: Catalog
    more: Catalog

    @classmethod
    def of(cls, catalog: Catalog, more: Catalog) -> "GrownCatalog":
        """``catalog`` and after its rows those of ``more``, none of which it holds."""
        before = catalog.item_ids
        item_ids = (
            before.with_more(more.item_ids) if isinstance(before, Names) else appended(before, more.item_ids)
        )
        if isinstance(catalog, GrownCatalog):
            both = pd.concat([catalog.more.items, more.items], ignore_index=True)
            return cls(catalog.base, Catalog(both), item_ids)
        return cls(catalog, more, item_ids)

    def __len__(self) -> int:
        return len(self.base) + len(self.more)

    @cached_property
    def items(self) -> pd.DataFrame:
        """Every item, one row each: as long as the catalogue, so no request asks for it."""
        return pd.concat([self.base.items, self.more.items], ignore_index=True)

    def some(self, rows: np.ndarray) -> pd.DataFrame:
        """The table of the items ``rows`` (c,) alone, in that order."""
        old = rows < len(self.base)
        both = pd.concat(
            [self.base.some(rows[old]), self.more.some(rows[~old] - len(self.base))], ignore_index=True
        )
        order = np.argsort(np.concatenate([np.flatnonzero(old), np.flatnonzero(~old)]))
        return both.iloc[order].reset_index(drop=True)

    def parts(self, columns: Sequence[str] = ITEM_COLUMNS) -> Iterator[Catalog]:
        """The items piece by piece, in their order."""
        yield from self.base.parts(columns)
        yield from self.more.parts(columns)

    def numbers(self, name: str) -> np.ndarray:
        """(n_items,) float64 a column of numbers."""
        return np.concatenate([self.base.numbers(name), self.more.numbers(name)])

    def value(self, name: str, row: int) -> Any:
        """What one item has in a column."""
        count = len(self.base)
        return self.base.value(name, row) if row < count else self.more.value(name, row - count)

    def word_keys(self, rows: np.ndarray) -> np.ndarray:
        """(c,) int64 keys of the words of ``rows`` (c,)."""
        found, old = np.empty(len(rows), np.int64), rows < len(self.base)
        found[old] = self.base.word_keys(rows[old])
        found[~old] = self.more.word_keys(rows[~old] - len(self.base))
        return found

    def rows(self, item_ids: Iterable[str]) -> np.ndarray:
        """(n,) int32 rows of ``item_ids``; -1 where an id is unknown."""
        names = list(item_ids)
        found = self.base.rows(names)
        found[found < 0] = [self.row_of.get(names[place], -1) for place in np.flatnonzero(found < 0)]
        return found

    def as_of(self, instant: float) -> Catalog:
        """The same rows with the values that held at ``instant`` (epoch seconds)."""
        return Catalog(self.items, self.history, self.stamp).as_of(instant)

    def with_history_of(self, other: Catalog) -> Catalog:
        """These items with the past that ``other`` knows."""
        return Catalog(self.items, other.history, self.stamp)


class _Either(Mapping[str, int]):
    """Two mappings without a common key as one."""

    def __init__(self, base: Mapping[str, int], more: Mapping[str, int]) -> None:
        self._base, self._more = base, more

    def __getitem__(self, key: str) -> int:
        found = self._more.get(key)
        return self._base[key] if found is None else found

    def get(self, key: str, default: int | None = None) -> int | None:  # type: ignore[override]
        """The row, or ``default``; quicker than by exceptions."""
        found = self._more.get(key)
        return self._base.get(key, default) if found is None else found

    def __contains__(self, key: object) -> bool:
        return key in self._more or key in self._base

    def __iter__(self) -> Iterator[str]:
        yield from self._base
        yield from self._more

    def __len__(self) -> int:
        return len(self._base) + len(self._more)
