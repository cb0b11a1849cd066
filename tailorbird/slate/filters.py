"""Filters: each names the items that must not be shown; together they split the catalogue, with the reason for each item.

What one person's filters name are short lists. What holds for many requests (stock, launches, rules) is a block over the
catalogue, which the shelf makes once and keeps: a request looks its candidates up there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tailorbird.models.allowed import NO_ROWS, Allowed
from tailorbird.slate.query import Query, Removed, Rules
from tailorbird.slate.shelf import Block, Shelf


@dataclass(frozen=True)
class Known:
    """The query's items as catalogue rows, each row once, looked up once for all filters."""

    seen: np.ndarray
    hidden: np.ndarray
    excluded: np.ndarray
    shown: np.ndarray
    keep_seen: bool

    @classmethod
    def of(cls, query: Query, shelf: Shelf, *, keep_seen: bool) -> "Known":
        """Look up what the profile and the request name; ``keep_seen`` holds where the query does not say."""
        excluded = list(query.exclude)
        if query.item_id:
            excluded.append(query.item_id)
        return cls(
            seen=_of_keys(query.state.had, shelf),
            hidden=_of_keys(query.state.hidden, shelf),
            excluded=_rows(excluded, shelf),
            shown=_rows(query.shown, shelf),
            keep_seen=keep_seen if query.keep_seen is None else query.keep_seen,
        )


def _rows(item_ids: Sequence[str], shelf: Shelf) -> np.ndarray:
    if not item_ids:
        return NO_ROWS
    rows = shelf.catalog.rows(dict.fromkeys(item_ids))
    return rows[rows >= 0]


def _of_keys(keys: np.ndarray, shelf: Shelf) -> np.ndarray:
    """The rows of distinct item keys, each once."""
    if not len(keys):
        return NO_ROWS
    rows = shelf.rows_of_keys(keys)
    return rows[rows >= 0]


class Filter(Protocol):
    """One reason to leave an item out."""

    @property
    def reason(self) -> str:
        """The reason's name."""

    def removes(self, query: Query, known: Known, shelf: Shelf) -> "np.ndarray | Block":
        """The few rows (m,) that must not be shown, each once, or a block that the shelf keeps."""


class HiddenItemsFilter:
    """Leaves out what the user has hidden."""

    reason = "hidden"

    def removes(self, query: Query, known: Known, shelf: Shelf) -> np.ndarray:
        """The hidden items."""
        return known.hidden


class SeenItemsFilter:
    """Leaves out what the user already had, unless repeats are wanted."""

    reason = "seen"

    def removes(self, query: Query, known: Known, shelf: Shelf) -> np.ndarray:
        """The items of the history."""
        return NO_ROWS if known.keep_seen else known.seen


class OutOfStockFilter:
    """Leaves out what cannot be bought; an unknown stock is no reason."""

    reason = "out_of_stock"

    def removes(self, query: Query, known: Known, shelf: Shelf) -> "np.ndarray | Block":
        """The items whose stock is used up."""
        return shelf.sold_out_at(query.now)


class UnlaunchedItemsFilter:
    """Leaves out what is launched later; an unknown date is no reason."""

    reason = "not_launched"

    def removes(self, query: Query, known: Known, shelf: Shelf) -> Block:
        """The items whose launch is still to come."""
        return shelf.unlaunched_at(query.now)


class ExcludedItemsFilter:
    """Leaves out what the caller named, and the item being looked at."""

    reason = "excluded"

    def removes(self, query: Query, known: Known, shelf: Shelf) -> np.ndarray:
        """The named items."""
        return known.excluded


class ShownItemsFilter:
    """Leaves out what earlier pages showed."""

    reason = "shown_before"

    def removes(self, query: Query, known: Known, shelf: Shelf) -> np.ndarray:
        """The items of earlier pages."""
        return known.shown


class RulesFilter:
    """Leaves out what breaks the caller's rules."""

    reason = "rule"

    def removes(self, query: Query, known: Known, shelf: Shelf) -> "np.ndarray | Block":
        """The items that break a rule."""
        return shelf.breaking(query.rules.term, now=query.now) if query.rules else NO_ROWS


class DeletedItemsFilter:
    """Leaves out what is in the catalogue no more."""

    reason = "deleted"

    def removes(self, query: Query, known: Known, shelf: Shelf) -> Block:
        """The deleted items."""
        return shelf.deleted_at(query.now)


class WhereFilter:
    """Leaves out what does not fulfil the expression of the request or its scenario."""

    reason = "filter"

    def removes(self, query: Query, known: Known, shelf: Shelf) -> "np.ndarray | Block":
        """The items that do not fulfil it."""
        where = query.wishes.where
        return NO_ROWS if where is None else shelf.breaking(where, now=query.now)


class NotIncludedFilter:
    """Leaves out what is not among the only items that the caller wants."""

    reason = "not_included"

    def removes(self, query: Query, known: Known, shelf: Shelf) -> "np.ndarray | Block":
        """The items that were not named."""
        include = query.wishes.include
        return (
            NO_ROWS if include is None else shelf.all_but(frozenset(_rows(sorted(include), shelf).tolist()))
        )


@dataclass(frozen=True)
class StandingRulesFilter:
    """Leaves out what breaks the rules that an arm has for every request."""

    rules: Rules
    reason: str = "arm_rule"

    def removes(self, query: Query, known: Known, shelf: Shelf) -> Block:
        """The items that break a rule."""
        return shelf.breaking(self.rules.term, now=query.now)


FILTERS: tuple[Filter, ...] = (
    DeletedItemsFilter(),
    HiddenItemsFilter(),
    SeenItemsFilter(),
    OutOfStockFilter(),
    UnlaunchedItemsFilter(),
    ExcludedItemsFilter(),
    ShownItemsFilter(),
    RulesFilter(),
    WhereFilter(),
    NotIncludedFilter(),
)
"""In the order in which their reasons win."""


@dataclass(frozen=True)
class Screen:
    """The catalogue split for one query: what is ``allowed``, and every other item with its first reason."""

    allowed: Allowed
    removed: tuple[Removed, ...]

    @classmethod
    def of(cls, query: Query, known: Known, shelf: Shelf, *, filters: Sequence[Filter] = FILTERS) -> "Screen":
        """Ask every filter once: allowed + removed = the catalogue."""
        found = [(each.reason, each.removes(query, known, shelf)) for each in filters]
        blocked = shelf.blocked([part for _, part in found if isinstance(part, Block)])
        removed, few, passed = [], NO_ROWS, 0
        for reason, part in found:
            if isinstance(part, Block):
                passed += part.count > 0  # the code of its rows in `blocked`
                if part.count:
                    taken = few[blocked.code[few] == passed]  # an earlier filter has named them
                    removed.append(
                        Removed(reason, int(blocked.counts[passed]) - len(taken), (blocked, passed, taken))
                    )
            elif len(part):
                code = blocked.code[part]
                rows = part[(code == 0) | (code > passed)]
                rows = rows[~np.isin(rows, few)] if len(few) else rows
                few = np.concatenate([few, rows])
                removed.append(Removed(reason, len(rows), rows))
        free = np.sort(few[blocked.code[few] == 0])
        return cls(Allowed(blocked, free), tuple(part for part in removed if part.count))

    @property
    def size(self) -> int:
        """How many items may be shown."""
        return len(self.allowed)
