"""The attributes of items as columns that filters read: numbers as they are, everything else as codes of distinct values."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from tailorbird.catalog.catalog import Catalog
from tailorbird.slate.filtering.terms import Scalar, kind_of

MOST_ATTRIBUTES = 256
"""Attributes of a shop that can be filtered by; further ones are kept, and unknown to filters."""
MOST_LEFT_OUT = 10_000
"""Names of further attributes that are remembered, for whoever filters by one."""
KEPT_CHANGES = 1_000
"""Changes of which it is remembered which rows they were about."""
SPARE_CODES = 1_000
"""Codes that an attribute may have beyond four for each item, before those of values that no item has any more are let go."""
NUMBERS = ("price", "stock", "launched_at", "deleted_at")
PREFIX = "attributes."
"""Says that an attribute is meant which has the name of a column of the catalogue."""
Key = str | float | tuple[bool]
"""A scalar as a dictionary's key: True is not 1.0 there."""


def key_of(value: Scalar) -> Key:
    """A value by which codes are found."""
    return (value,) if isinstance(value, bool) else value


class Coded:
    """One attribute's texts, booleans and lists: a code for each row, 0 for nothing, and what each code stands for.

    Codes are given once and never change their meaning, so a table made for the codes of before stays right. Where most
    of them stand for what no item has any more, another ``Coded`` takes this one's place.
    """

    def __init__(self, rows: int) -> None:
        self.codes = np.zeros(rows, np.int32)  # (capacity,)
        self.holders: dict[Key, list[int]] = {}
        """The codes of the values that hold a scalar."""
        self.kinds: set[str] = set()
        self._code_of: dict[tuple[Key, ...], int] = {(): 0}

    def __len__(self) -> int:
        return len(self._code_of)

    def code(self, value: tuple[Key, ...]) -> int:
        """The code of a value, a new one where it has none."""
        code = self._code_of.get(value)
        if code is None:
            code = len(self._code_of)
            for key in dict.fromkeys(value):
                self.kinds.add("boolean" if isinstance(key, tuple) else kind_of(key))
                self.holders.setdefault(key, []).append(code)
            self._code_of[value] = code
        return code

    def without_unused(self) -> "Coded":
        """The same values of the same rows under codes of their own; what no row has any more has none."""
        fresh, values = Coded(0), list(self._code_of)
        used = np.unique(self.codes)
        code_now = np.zeros(len(values), np.int32)
        code_now[used] = [fresh.code(values[code]) for code in used]
        fresh.codes = code_now[self.codes]
        fresh.kinds |= self.kinds
        return fresh


class Attribute:
    """One attribute of all items: its single numbers (n,) float64, NaN for none, and its other values, coded."""

    def __init__(self, rows: int) -> None:
        self.numbers: np.ndarray | None = None
        self.coded: Coded | None = None
        self._rows = rows

    def grow(self, rows: int) -> None:
        """Make room for ``rows`` items."""
        if self.numbers is not None:
            self.numbers = _longer(self.numbers, rows, np.nan)
        if self.coded is not None:
            self.coded.codes = _longer(self.coded.codes, rows, 0)
        self._rows = rows

    def at(self, places: np.ndarray, *, rows: int) -> "Attribute":
        """The same attribute of items that have the values of ``places`` (n,) here, with room for ``rows`` items."""
        taken = Attribute(rows)
        if self.numbers is not None:
            taken.numbers = _longer(self.numbers[places], rows, np.nan)
        if self.coded is not None:
            taken.coded = self.coded
            self.coded.codes = _longer(self.coded.codes[places], rows, 0)
        return taken

    def put(self, row: int, value: object) -> None:
        """Say what an item's value is: a scalar, a list of scalars, or None for not known; anything else counts as not known."""
        number = _number(value)
        if number is not None and self.numbers is None:
            self.numbers = np.full(self._rows, np.nan)
        if self.numbers is not None:
            self.numbers[row] = np.nan if number is None else number
        keys = () if number is not None else _keys(value)
        if keys and self.coded is None:
            self.coded = Coded(self._rows)
        if self.coded is not None:
            self.coded.codes[row] = self.coded.code(keys)
            if len(self.coded) > 4 * self._rows + SPARE_CODES:
                self.coded = self.coded.without_unused()

    @property
    def kinds(self) -> set[str]:
        """What this attribute was ever seen to hold: number, text, boolean."""
        coded = set(self.coded.kinds) if self.coded is not None else set()
        return coded | ({"number"} if self.numbers is not None else set())


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
        items, columns = catalog.items, cls(len(catalog))
        for name in NUMBERS:
            columns._attributes[name].numbers = items[name].to_numpy(np.float64, copy=True)
        columns._fill("category", [tuple(map(str, names)) for names in items["categories"]])
        columns._fill("brand", [(brand,) if brand else () for brand in items["brand"]])
        texts: dict[str, int] = {}  # many items say the same: each text is read once
        places = np.fromiter((texts.setdefault(text, len(texts)) for text in items["attributes"]), np.int64)
        each = cls(len(texts))
        for row, text in enumerate(texts):
            each._put_attributes(row, object_of(text))
        for name, attribute in each._attributes.items():
            if name.startswith(PREFIX):
                columns._attributes[name] = attribute.at(places, rows=columns._room)
        columns._left_out = each._left_out
        return columns

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

    def _fill(self, name: str, values: Sequence[tuple[Key, ...]]) -> None:
        coded = self._attributes[name].coded
        assert coded is not None
        coded.codes[: len(values)] = [coded.code(value) for value in values]

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


def _longer(array: np.ndarray, rows: int, fill: float) -> np.ndarray:
    return np.concatenate([array, np.full(rows - len(array), fill, array.dtype)])


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return None
    number = float(value)
    return number if np.isfinite(number) else None


def _keys(value: object) -> tuple[Key, ...]:
    if isinstance(value, list | tuple):
        return tuple(key for each in value if not isinstance(each, list | tuple) for key in _keys(each))
    if isinstance(value, str):
        return (value,) if value else ()
    if isinstance(value, bool):
        return ((value,),)
    number = _number(value)
    return () if number is None else (number,)


def object_of(text: str) -> Mapping[str, Any]:
    """The JSON object of a text; an empty one where it is none."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
