"""A catalogue as a bundle keeps it: columns on the disk that processes map and share, each holding what it reads."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa

from tailorbird.catalog.catalog import ITEM_COLUMNS, Catalog
from tailorbird.catalog.files import ROWS_AT_ONCE
from tailorbird.catalog.keys import by_key, rows_of_keys, stable_key, stable_keys
from tailorbird.catalog.log.history import no_history
from tailorbird.catalog.log.told import NUMBERS
from tailorbird.plumbing.disk import mapped

FILE = "items.arrow"
ASKED_LATELY = 65_536
"""Rows that are remembered by their names."""
FEW = 1_000
"""So many names are looked up one by one, among those asked lately."""


class Names:
    """(n,) texts: the first on the disk, ``more`` (m,) objects after them. Read by row as an array is; nothing else of it."""

    def __init__(self, column: pa.LargeStringArray, more: np.ndarray) -> None:
        _, starts, text = column.buffers()
        self._column, self._count, self._more = column, len(column), more
        self._starts = memoryview(starts or b"").cast("q")[column.offset :]  # read quicker than an array
        self._text = memoryview(text or b"")

    def with_more(self, more: np.ndarray) -> "Names":
        """These and ``more`` (m,) after them."""
        return Names(self._column, np.concatenate([self._more, more]))

    def __len__(self) -> int:
        return self._count + len(self._more)

    def __getitem__(self, row: Any) -> Any:
        """The text of a row; of rows (c,) the texts (c,), as objects."""
        if isinstance(row, int | np.integer):
            return self._at(int(row) + (len(self) if row < 0 else 0))
        rows = np.arange(len(self))[row] if isinstance(row, slice) else np.asarray(row)
        texts = np.empty(len(rows), object)
        texts[:] = [self._at(each) for each in rows.tolist()]
        return texts

    def __iter__(self) -> Iterator[str]:
        return map(self._at, range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All of them, as objects."""
        texts: np.ndarray = self[:]
        return texts if dtype is None else texts.astype(dtype)

    def tolist(self) -> list[str]:
        """All of them."""
        return list(self)

    def _at(self, row: int) -> str:
        if row >= self._count:
            return cast(str, self._more[row - self._count])
        return str(self._text[self._starts[row] : self._starts[row + 1]], "utf-8")


class RowsOfNames(Mapping[str, int]):
    """The rows of ``names`` (n,): ``keys`` (n,) ascending belong to ``rows`` (n,)."""

    def __init__(self, names: Names, keys: np.ndarray, rows: np.ndarray) -> None:
        self._names, self._keys, self._rows = names, keys.data, rows
        self._found = lru_cache(ASKED_LATELY)(self._find)

    def __getitem__(self, name: str) -> int:
        return self._found(name)

    def _find(self, name: str) -> int:
        key = stable_key(name)
        place = bisect_left(self._keys, key)
        while place < len(self._keys) and self._keys[place] == key:
            row = int(self._rows[place])
            if self._names[row] == name:
                return row
            place += 1
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class MappedCatalog(Catalog):
    """A catalogue in a folder of its own. A table of all items is made only for whoever asks for it."""

    def __init__(self, folder: Path) -> None:
        table = pa.ipc.open_file(pa.memory_map(str(folder / FILE))).read_all()
        keys, rows, words = (mapped(folder / f"{name}.npy") for name in ("keys", "rows", "words"))
        names = Names(_column(table, "item_id"), np.zeros(0, object))
        self.__dict__.update(history=no_history(), stamp=None, item_ids=names, by_key=(keys, rows))
        self.__dict__.update(_table=table, _words=words, row_of=RowsOfNames(names, keys, rows))

    _table: pa.Table
    _words: np.ndarray

    def __len__(self) -> int:
        return len(self._table)

    @cached_property
    def items(self) -> pd.DataFrame:
        """Every item, one row each: as long as the catalogue, so nothing that serves asks for it."""
        return _frame(self._table)

    def parts(self, columns: Sequence[str] = ITEM_COLUMNS) -> Iterator[Catalog]:
        """The items piece by piece; nothing else than ``columns`` is read."""
        chosen = self._table.select(list(columns))
        for start in range(0, len(self), ROWS_AT_ONCE):
            yield Catalog(_frame(chosen.slice(start, ROWS_AT_ONCE)))

    def some(self, rows: np.ndarray) -> pd.DataFrame:
        """The table of the items ``rows`` (c,) alone, in that order."""
        return _frame(self._table.take(pa.array(np.asarray(rows, np.int64))))

    def numbers(self, name: str) -> np.ndarray:
        """(n_items,) float64 a column of numbers."""
        numbers: np.ndarray = _column(self._table, name).to_numpy(zero_copy_only=len(self) > 0)
        return numbers

    def value(self, name: str, row: int) -> Any:
        """What one item has in a column."""
        return _column(self._table, name)[row].as_py()

    def word_keys(self, rows: np.ndarray) -> np.ndarray:
        """(c,) int64 keys of the words of ``rows`` (c,)."""
        found: np.ndarray = self._words[rows]
        return found

    def rows(self, item_ids: Iterable[str]) -> np.ndarray:
        """(n,) int32 rows of ``item_ids``; -1 where an id is unknown."""
        names = list(item_ids)
        if len(names) <= FEW:
            return np.array([self.row_of.get(name, -1) for name in names], np.int32)
        found = rows_of_keys(*self.by_key, stable_keys(names))
        for place in np.flatnonzero(found >= 0).tolist():
            if self.item_ids[int(found[place])] != names[place]:  # two names of one key
                found[place] = self.row_of.get(names[place], -1)
        return found.astype(np.int32)

    def as_of(self, instant: float) -> Catalog:
        """The same rows: a bundle's catalogue has no past of its own."""
        return self

    def with_history_of(self, other: Catalog) -> Catalog:
        """These items with the past that ``other`` knows."""
        return Catalog(self.items, other.history, self.stamp)


def write_mapped(catalog: Catalog, folder: Path) -> None:
    """Write a catalogue into ``folder``, with the keys of its ids and of its words."""
    folder.mkdir(parents=True, exist_ok=True)
    items = catalog.items
    texts, lists = pa.large_string(), pa.large_list(pa.large_string())
    columns = {
        name: pa.array(items[name].to_numpy(np.float64))
        if name in NUMBERS
        else pa.array(items[name].tolist(), lists if name == "categories" else texts)
        for name in ITEM_COLUMNS
    }
    table = pa.table(columns)
    with pa.ipc.new_file(str(folder / FILE), table.schema) as file:
        file.write_table(table)
    keys, rows = by_key(stable_keys(catalog.item_ids))
    words = [part.word_keys(np.arange(len(part))) for part in catalog.parts()]
    for name, array in (
        ("keys", keys),
        ("rows", rows),
        ("words", np.concatenate([np.zeros(0, np.int64), *words])),
    ):
        np.save(folder / f"{name}.npy", array)


def _column(table: pa.Table, name: str) -> Any:
    """One column in one piece."""
    column = table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _frame(table: pa.Table) -> pd.DataFrame:
    """The rows of a table as the columns of a catalogue."""
    columns: dict[str, Any] = {}
    for name in table.column_names:
        column = table.column(name)
        columns[name] = column.to_numpy() if name in NUMBERS else pd.Series(column.to_pylist(), dtype=object)
    return pd.DataFrame(columns)
