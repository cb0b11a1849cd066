"""Asks a filter expression of items: of given rows in microseconds, or of all of them as a bitmap that follows changes."""

import operator
import weakref
from collections import OrderedDict
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

import numpy as np

from tailorbird.slate.filtering.attributes import Attribute, Coded, key_of
from tailorbird.slate.filtering.columns import MOST_ATTRIBUTES, ItemColumns
from tailorbird.slate.filtering.parser import parse_filter
from tailorbird.slate.filtering.terms import (
    Among,
    Compare,
    Either,
    Every,
    FilterError,
    Has,
    Leaf,
    Not,
    Scalar,
    Term,
    kind_of,
    leaves,
)

AGE = "age_days"
DAY = 86_400.0
BITMAP_SECONDS = 60.0
"""How old a bitmap may be that depends on the clock; what is asked of given rows is always of the instant."""
_SIGNS: dict[str, Callable[..., Any]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Selection:
    """One expression over one set of columns. An attribute that no item has is not known of any: it fulfils no comparison."""

    def __init__(self, term: Term, columns: ItemColumns) -> None:
        self.term, self.columns = term, columns
        self.clocked = any(leaf.attribute == AGE for leaf in leaves(term))
        """Whether the answer depends on the instant."""
        self._sound = False
        self._tables: dict[Leaf, tuple[weakref.ref[Coded], np.ndarray]] = {}
        self._kept: tuple[int, float, np.ndarray] | None = None
        self._rows: tuple[np.ndarray, np.ndarray] | None = None

    def require_sound(self) -> "Selection":
        """See that it says something of these items.

        Raises:
            FilterError: it names what no item has, or compares it with another kind of value.
        """
        if not self._sound:
            for leaf in leaves(self.term):
                _check(leaf, self.columns)
            self._sound = True
        return self

    def keeps(self, rows: np.ndarray, *, now: float) -> np.ndarray:
        """(c,) bool which of ``rows`` (c,) int64 fulfil the expression at ``now`` (epoch seconds)."""
        return self._mask(self.term, rows, now)

    def bitmap(self, *, now: float) -> np.ndarray:
        """(n,) bool over all items, kept and brought up to date where items changed; not to be written to."""
        version = self.columns.version  # first: rows that come meanwhile belong to a later one
        count = len(self.columns)
        if self._kept is not None:
            made, at, bits = self._kept
            fresh = not self.clocked or abs(now - at) <= BITMAP_SECONDS
            if fresh and made == version and len(bits) == count:
                return bits
            changed = self.columns.changed_since(made) if fresh else None
            if changed is not None and len(changed) * 4 < count:
                bits = np.concatenate([bits, np.zeros(max(0, count - len(bits)), bool)])[:count]
                changed = changed[changed < count]
                bits[changed] = self.keeps(changed, now=now)
                self._kept = version, at, bits
                return bits
        bits = self._mask(self.term, slice(0, count), now)
        self._kept = version, now, bits
        return bits

    def rows(self, *, now: float) -> np.ndarray:
        """(m,) int64 the rows of the bitmap, ascending."""
        bits = self.bitmap(now=now)
        if self._rows is None or self._rows[0] is not bits:
            self._rows = bits, np.flatnonzero(bits)
        return self._rows[1]

    def _mask(self, term: Term, rows: np.ndarray | slice, now: float) -> np.ndarray:
        if isinstance(term, Not):
            return ~self._mask(term.term, rows, now)
        if isinstance(term, Every | Either):
            every = isinstance(term, Every)
            mask = np.full(self._length(rows), every)  # nothing demanded is fulfilled
            for each in term.terms:
                found = self._mask(each, rows, now)
                mask = mask & found if every else mask | found
            return mask
        return self._leaf(term, rows, now)

    def _leaf(self, leaf: Leaf, rows: np.ndarray | slice, now: float) -> np.ndarray:
        if leaf.attribute == AGE:
            launched = self.columns.attribute("launched_at")
            assert launched is not None
            assert launched.numbers is not None
            return _of_numbers(leaf, (now - launched.numbers[rows]) / DAY)
        attribute = self.columns.attribute(leaf.attribute)
        mask: np.ndarray | None = None
        if attribute is None:
            return np.zeros(self._length(rows), bool)
        if attribute.numbers is not None:
            mask = _of_numbers(leaf, attribute.numbers[rows])
        coded = attribute.coded  # once: another may take its place
        if coded is not None:
            held = self._of_codes(leaf, coded, rows)
            mask = held if mask is None else mask | held
        assert mask is not None
        return mask

    def _length(self, rows: np.ndarray | slice) -> int:
        return int(rows.stop) if isinstance(rows, slice) else len(rows)

    def _of_codes(self, leaf: Leaf, coded: Coded, rows: np.ndarray | slice) -> np.ndarray:
        codes = coded.codes[rows]
        if isinstance(leaf, Has):
            return codes > 0
        made_for, table = self._tables.get(leaf, (None, np.zeros(0, bool)))
        if made_for is None or made_for() is not coded or len(table) < len(coded):
            table = _table(leaf, coded)
            self._tables[leaf] = weakref.ref(coded), table
        # A value that came after the table was made belongs to the next look.
        found: np.ndarray = table.take(codes, mode="clip") & (codes < len(table))
        return found


class Selections:
    """The expressions asked lately over one set of columns; each is parsed and prepared once."""

    def __init__(self, columns: ItemColumns, *, capacity: int = 256) -> None:
        self.columns, self._capacity = columns, capacity
        self._kept: OrderedDict[Term, Selection] = OrderedDict()

    def of(self, expression: str | Term) -> Selection:
        """The selection of an expression.

        Raises:
            FilterError: it cannot be read.
        """
        term = parse_filter(expression) if isinstance(expression, str) else expression
        found = self._kept.pop(term, None) or Selection(term, self.columns)
        self._kept[term] = found
        if len(self._kept) > self._capacity:
            self._kept.popitem(last=False)
        return found


def _of_numbers(leaf: Leaf, numbers: np.ndarray) -> np.ndarray:
    if isinstance(leaf, Has):
        return np.isfinite(numbers)
    if isinstance(leaf, Among):
        wanted = [value for value in leaf.values if kind_of(value) == "number"]
        return np.isin(numbers, wanted) if wanted else np.zeros(len(numbers), bool)
    if kind_of(leaf.value) != "number":
        return np.zeros(len(numbers), bool)
    mask: np.ndarray = _SIGNS[leaf.sign](numbers, leaf.value)
    return mask


def _table(leaf: Compare | Among, coded: Coded) -> np.ndarray:
    """(codes,) bool which values fulfil a comparison."""
    table = np.zeros(len(coded), bool)
    holders = coded.holders
    if isinstance(leaf, Among):
        keys = [key_of(value) for value in leaf.values]
    elif leaf.sign == "=":
        keys = [key_of(leaf.value)]
    else:
        kind = str if isinstance(leaf.value, str) else float
        keys = [key for key in list(holders) if isinstance(key, kind) and _SIGNS[leaf.sign](key, leaf.value)]
    for key in keys:
        held = [code for code in holders.get(key, ()) if code < len(table)]
        table[held] = True
    return table


def _check(leaf: Leaf, columns: ItemColumns) -> None:
    attribute = columns.attribute(leaf.attribute)
    if leaf.attribute == AGE:
        kinds = {"number"}
    elif attribute is None or (not attribute.kinds and leaf.attribute not in columns.names):
        raise _unknown(leaf, columns)
    else:
        kinds = _kinds(leaf.attribute, attribute)
    values: tuple[Scalar, ...] = ()
    if isinstance(leaf, Among):
        values = leaf.values
    elif isinstance(leaf, Compare):
        values = (leaf.value,)
    for value in values:
        kind = kind_of(value)
        if kinds and kind not in kinds:
            held = " and ".join(f"{each}s" for each in sorted(kinds))
            shown = f'"{value[:40]}"' if isinstance(value, str) else value
            raise FilterError(
                f"{leaf.attribute} holds {held}, {shown} is a {kind}",
                place=leaf.place,
                remedy="texts stand in quotes, numbers, true and false do not",
            )


def _kinds(name: str, attribute: Attribute) -> set[str]:
    return {"text"} if name in ("category", "brand") else attribute.kinds


def _unknown(leaf: Leaf, columns: ItemColumns) -> FilterError:
    names = columns.names
    near = get_close_matches(leaf.attribute, names, n=3, cutoff=0.6)
    shown = leaf.attribute if len(leaf.attribute) <= 40 else leaf.attribute[:40] + "…"
    if columns.leaves_out(leaf.attribute):
        return FilterError(
            f"items have the attribute {shown}, and filters do not know it",
            place=leaf.place,
            remedy=f"tell fewer attributes: filters know the first {MOST_ATTRIBUTES} of a shop",
        )
    if near:
        remedy = f"did you mean {' or '.join(near)}?"
    else:
        remedy = f"there are {', '.join(names[:20])}" + (" …" if len(names) > 20 else "")
    return FilterError(f"no item has an attribute {shown}", place=leaf.place, remedy=remedy)
