"""The attributes of items as columns that filters read: numbers as they are, everything else as codes of distinct values."""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import orjson
import pandas as pd

from tailorbird.catalog.catalog import Catalog
from tailorbird.slate.filtering.attributes import Attribute, Coded, Key

MOST_ATTRIBUTES = 256
"""Attributes of a shop that can be filtered by; further ones are kept, and unknown to filters."""
MOST_LEFT_OUT = 10_000
"""Names of further attributes that are remembered, for whoever filters by one."""
KEPT_CHANGES = 1_000
"""Changes of which it is remembered which rows they were about."""
NUMBERS = ("price", "stock", "launched_at", "deleted_at")
PREFIX = "attributes."
"""Says that an attribute is meant which has the name of a column of the catalogue."""


class ItemColumns:
    """What filters can ask of the n items of a catalogue, in its order; items may change and more may come.

    One thread changes it, any number read: a reader may meet an item half changed, never a column that does not hold.
    """

    def __init__(self, rows: int) -> None:
        self._count, self._room = rows, max(rows, 1)
        self._attributes: dict[str, Attribute] = {}
        self._changes: deque[tuple[int, np.ndarray]] = deque(maxlen=KEPT_CHANGES)
        self._left_out: set[str] = set()
        self.version = 0
        """Grows with every change."""
        self.touched = dict.fromkeys(NUMBERS, 0)
        """The version in which a number of each of the catalogue's columns last became another.

        It moves when a change is over: what was made of half a change was made under the number before, and goes with it.
        """
        for name in ("category", "brand", *NUMBERS):
            self._attributes[name] = Attribute(self._room)
        for name in NUMBERS:
            self._attributes[name].numbers = np.full(self._room, np.nan)
        for name in ("category", "brand"):
            self._attributes[name].coded = Coded(self._room)

    @classmethod
    def of(cls, catalog: Catalog) -> "ItemColumns":
        """The columns of a catalogue's items."""
        filling, count = Filling(len(catalog)), 0
        for part in catalog.parts():
            filling.put(np.arange(count, count + len(part)), part.items)
            count += len(part)
        return filling.done()

    def __len__(self) -> int:
        return self._count

    @property
    def names(self) -> list[str]:
        """Every name that a filter may use."""
        return [*("category", "brand", *NUMBERS, "age_days"), *self._own_names()]

    def attribute(self, name: str) -> Attribute | None:
        """The attribute that a filter calls ``name``; None where no item was ever seen to have it."""
        if name.startswith(PREFIX):
            return self._attributes.get(name)
        return self._attributes.get(name) or self._attributes.get(PREFIX + name)

    def leaves_out(self, name: str) -> bool:
        """Whether items have the attribute and filters do not know it: it came when there were MOST_ATTRIBUTES already."""
        return self.attribute(name) is None and name.removeprefix(PREFIX) in self._left_out

    def numbers(self, name: str) -> np.ndarray:
        """(n,) a column of NUMBERS, NaN where not known."""
        numbers = self._attributes[name].numbers
        assert numbers is not None
        return numbers[: self._count]

    def change(self, items: Iterable[tuple[int, Mapping[str, Any]]]) -> None:
        """Take over what is newly said of rows, by the names of the catalogue's columns; what is not said stays.

        A row past the end is a new item. Of ``attributes`` each is said by itself.
        """
        rows: list[int] = []
        touched: set[str] = set()
        try:
            for row, told in items:
                rows.append(row)
                if row >= self._count:
                    self._make_room(row + 1)
                self._put(row, told, touched)
        finally:  # also what was taken over of a change that broke off
            self._changes.append((self.version + 1, np.unique(np.asarray(rows, np.int64))))
            for name in touched:
                self.touched[name] = self.version + 1
            self.version += 1

    def changed_since(self, version: int) -> np.ndarray | None:
        """(m,) int64 the rows that changed after ``version``; None where that was too long ago to know."""
        behind = self.version - version
        changes = list(self._changes)
        if behind <= 0:
            return np.zeros(0, np.int64)
        if behind > len(changes):
            return None
        newer = [rows for number, rows in changes if number > version]
        return np.unique(np.concatenate(newer)) if newer else np.zeros(0, np.int64)

    def _own_names(self) -> list[str]:
        """Attributes of the shop, with their prefix where a column of the catalogue has the name already."""
        own = [name.removeprefix(PREFIX) for name in list(self._attributes) if name.startswith(PREFIX)]
        return [PREFIX + name if name in self._attributes or name == "age_days" else name for name in own]

    def _put(self, row: int, told: Mapping[str, Any], touched: set[str]) -> None:
        """Take over what is said of a row; the numbers that became others are added to ``touched``."""
        for name, value in told.items():
            if name == "categories":
                self._attributes["category"].put(row, list(value or ()))
            elif name == "brand":
                self._attributes[name].put(row, value)
            elif name in NUMBERS:
                numbers = self.numbers(name)
                before = float(numbers[row])
                self._attributes[name].put(row, value)
                after = float(numbers[row])
                if before != after and not (before != before and after != after):
                    touched.add(name)
            elif name == "attributes":
                self._put_attributes(row, value if isinstance(value, Mapping) else {})

    def _put_attributes(self, row: int, told: Mapping[str, Any]) -> None:
        for name, value in told.items():
            attribute = self._attributes.get(PREFIX + name)
            if attribute is None:
                if value is None:
                    continue
                if len(self._attributes) >= MOST_ATTRIBUTES:
                    if len(self._left_out) < MOST_LEFT_OUT:
                        self._left_out.add(name)
                    continue
                attribute = self._attributes[PREFIX + name] = Attribute(self._room)
            attribute.put(row, value)

    def _make_room(self, rows: int) -> None:
        if rows > self._room:
            self._room = max(rows, self._room + self._room // 4 + 64)
            for attribute in self._attributes.values():
                attribute.grow(self._room)
        self._count = rows


class Filling:
    """Makes the columns of ``rows`` items, some at a time."""

    def __init__(self, rows: int) -> None:
        self._columns = ItemColumns(rows)
        self._texts: dict[str, int] = {"{}": 0}  # many items say the same: each text is read once
        self._places = np.zeros(rows, np.int32)

    def put(self, rows: np.ndarray, items: pd.DataFrame) -> None:
        """``rows`` (c,), each once, are as the table of ``items`` (c,) says."""
        for name in NUMBERS:
            self._columns.numbers(name)[rows] = items[name].to_numpy(np.float64)
        self._code("category", rows, (tuple(map(str, names)) for names in items["categories"]))
        self._code("brand", rows, ((brand,) if brand else () for brand in items["brand"]))
        texts = self._texts
        self._places[rows] = [texts.setdefault(text, len(texts)) for text in items["attributes"]]

    def sell_out(self, rows: np.ndarray) -> None:
        """Nothing is left of ``rows`` (c,)."""
        self._columns.numbers("stock")[rows] = 0.0

    def done(self) -> ItemColumns:
        """The columns of what was put."""
        columns, each = self._columns, ItemColumns(len(self._texts))
        for row, text in enumerate(self._texts):
            each._put_attributes(row, object_of(text))
        for name, attribute in each._attributes.items():
            if name.startswith(PREFIX):
                columns._attributes[name] = attribute.at(self._places, rows=columns._room)
        columns._left_out = each._left_out
        return columns

    def _code(self, name: str, rows: np.ndarray, values: Iterable[tuple[Key, ...]]) -> None:
        coded = self._columns._attributes[name].coded
        assert coded is not None
        coded.codes[rows] = [coded.code(value) for value in values]


def object_of(text: str) -> Mapping[str, Any]:
    """The JSON object of a text; an empty one where it is none."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
