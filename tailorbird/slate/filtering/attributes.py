"""One attribute of all items: single numbers as they are, everything else as codes of distinct values."""

import numpy as np

from tailorbird.slate.filtering.terms import Scalar, kind_of

SPARE_CODES = 1_000
"""Codes that an attribute may have beyond four for each item, before those of values that no item has any more are let go."""
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
