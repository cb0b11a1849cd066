"""Applies what a request or its scenario wishes to a ranking: items boosted and pinned, a most per category and brand."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from tailorbird.slate.query import Boost, Pin, Ranking, Wishes
from tailorbird.slate.shelf import Shelf

Thing = TypeVar("Thing", bound=Hashable)
"""What stands at a place: a place in a ranking, a pick."""


def boosted(ranking: Ranking, boosts: tuple[Boost, ...], shelf: Shelf, *, now: float) -> Ranking:
    """The ranking with its scores moved, best first again; ties keep their order.

    A boost is in standard deviations of the ranking's scores: it means the same whatever a model's scores are.
    """
    rows = ranking.candidates.rows
    if not len(rows):
        return ranking
    spread = float(np.std(ranking.scores)) or 1.0
    moved = np.zeros(len(rows))
    for boost in boosts:
        moved += boost.by * shelf.selections.of(boost.term).keeps(rows, now=now)
    scores = (ranking.scores + spread * moved).astype(np.float32)
    order = np.argsort(-scores, kind="stable")
    return replace(ranking, candidates=ranking.candidates.where(order), scores=scores[order])


class Caps:
    """Counts what is shown of each category and brand."""

    def __init__(self, shelf: Shelf, wishes: Wishes) -> None:
        self._kinds: list[tuple[np.ndarray, int, int, dict[int, int]]] = []
        if wishes.per_category is not None:
            self._kinds.append((shelf.shelf_of, -1, wishes.per_category, {}))
        if wishes.per_brand is not None:
            self._kinds.append((shelf.brand_of, 0, wishes.per_brand, {}))

    def kinds_of(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(kinds, c) int64 codes of what is counted of ``rows``, -1 for none, and (kinds,) how many of a code may be shown."""
        codes = [np.where(of[rows] == none, -1, of[rows]).astype(np.int64) for of, none, _, _ in self._kinds]
        mosts = np.array([most for _, _, most, _ in self._kinds], np.int64)
        return (np.stack(codes) if codes else np.zeros((0, len(rows)), np.int64)), mosts

    def fits(self, row: int) -> bool:
        """Whether the item of a catalogue row would not be one too many; what has no category or brand never is."""
        return all(
            counts.get(int(of[row]), 0) < most for of, none, most, counts in self._kinds if of[row] != none
        )

    def take(self, row: int) -> bool:
        """Count the item of a catalogue row, where it fits."""
        if not self.fits(row):
            return False
        for of, none, _, counts in self._kinds:
            if of[row] != none:
                counts[int(of[row])] = counts.get(int(of[row]), 0) + 1
        return True


def arranged(
    rows: np.ndarray, pins: tuple[Pin, ...], shelf: Shelf, caps: Caps, *, first: int, k: int
) -> np.ndarray:
    """(≤ k,) places in ``rows`` (c,), best first, to show: pinned ones where they are pinned, others as the caps let them.

    ``first`` is the number of places on earlier pages. What is one too many waits for the next page; an item that is pinned
    twice stands at its first place.
    """

    def place_of(item_id: str) -> int | None:
        (found,) = np.nonzero(rows == shelf.catalog.row_of.get(item_id, -1))
        return int(found[0]) if len(found) else None

    fixed = pinned_places(pins, place_of, first=first)
    here = {place: at for place, at in fixed.items() if at < k}
    for place in here:
        caps.take(int(rows[place]))
    free = max(0, k - len(here))
    order: list[int] = []
    for place, row in enumerate(rows.tolist()):
        if len(order) == free:
            break
        if place not in fixed and caps.take(row):
            order.append(place)
    return np.asarray(with_pinned(order, here)[:k], np.int64)


def pinned_places(
    pins: Iterable[Pin], find: Callable[[str], Thing | None], *, first: int
) -> dict[Thing, int]:
    """At which place of a page, from 0 on, each pinned thing stands that ``find`` knows by its item; the first of several.

    ``first`` is the number of places on earlier pages.
    """
    places: dict[Thing, int] = {}
    for pin in sorted(pins, key=lambda each: each.place):
        if (found := find(pin.item_id)) is not None:
            places.setdefault(found, pin.place - 1 - first)
    return places


def with_pinned(free: Sequence[Thing], here: Mapping[Thing, int]) -> list[Thing]:
    """The free things with those ``here`` at their places, or at the end where there are too few before them."""
    order = list(free)
    for thing, place in here.items():
        order.insert(max(0, min(place, len(order))), thing)
    return order
