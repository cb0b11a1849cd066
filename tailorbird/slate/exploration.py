"""Exploration: a share of a slate's places is drawn by chance, each item's propensity exact given the places above it.

A place is filled by a mixture: with the shares of :class:`Exploration` from a distribution over what may stand there, else by
the best item of the ranking. What may stand there depends on the places above (caps, variety, pins), so the propensity is that
of this place once these are known: what inverse propensity weighting of each place needs (Horvitz, Thompson 1952).
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from tailorbird.plumbing.compiled import compiled
from tailorbird.slate.newcomers import Newcomers
from tailorbird.slate.query import Pin, Query, Ranking
from tailorbird.slate.select import WINDOW

if TYPE_CHECKING:
    from tailorbird.catalog.catalog import Catalog  # tables: who reads a declaration need not wait for them


@dataclass(frozen=True)
class Exploration:
    """Shares of places that are drawn: their sum is at most 1, the rest is the best of the ranking."""

    uniform: float = 0.0
    """Any of the ranking's first ``depth`` items, each as likely."""
    softmax: float = 0.0
    """Any item of the ranking, by its score (Plackett-Luce: what stands above is out of the draw)."""
    newcomers: float = 0.0
    """New items, by the frozen chances of :class:`~tailorbird.slate.newcomers.Newcomers`."""
    temperature: float = 0.5
    """Of the softmax, in standard deviations of the ranking's scores."""
    depth: int = 100
    """Items of the ranking, from its best on, that a uniform draw reaches."""
    first_place: int = 1
    """The first place (from 1, over all pages) that is explored: those before it are the best of the ranking."""
    first_impressions: int = 50
    """Impressions that a new item gets by need, before its clicks decide."""
    new_days: float = 14.0
    """Days after its launch for which an item is new."""

    @property
    def share(self) -> float:
        """Share of the explored places that is drawn."""
        return self.uniform + self.softmax + self.newcomers

    def __bool__(self) -> bool:
        return self.share > 0


NO_EXPLORATION = Exploration()
DRAWN = -2
"""In place of an item that is followed: what stands there is drawn."""


@dataclass(frozen=True)
class Pool:
    """What may be shown: the ranking's items first, best first, then new items that are not among them.

    ``rows`` (c,) catalogue rows, of which the first ``ranked`` are the ranking's at ``places`` (ranked,); ``shelves`` (c,) codes of
    categories, -1 for none; ``newcomers`` (c,) chances, 0 of what is not new.
    """

    rows: np.ndarray
    places: np.ndarray
    shelves: np.ndarray
    newcomers: np.ndarray

    @property
    def ranked(self) -> int:
        """How many are of the ranking."""
        return len(self.places)

    @classmethod
    def of(
        cls,
        ranking: Ranking,
        places: np.ndarray,
        new: Newcomers,
        allowed_new: np.ndarray,
        shelf_of: np.ndarray,
    ) -> "Pool":
        """The items at ``places`` (p,) of a ranking with the new ones that are allowed, (m,) bool."""
        ranked = ranking.candidates.rows[places]
        more = new.rows[allowed_new & ~np.isin(new.rows, ranked)]
        rows = np.concatenate([ranked, more]).astype(np.int64)
        return cls(rows, places, shelf_of[rows].astype(np.int64), new.chances_of(rows))


@dataclass(frozen=True)
class Draw:
    """``chosen`` (≤ k,) places in the pool to show, in their order, and the ``propensities`` (≤ k,) of each given those above."""

    chosen: np.ndarray
    propensities: np.ndarray


def draw_slate(
    pool: Pool,
    scores: np.ndarray,
    query: Query,
    exploration: Exploration,
    *,
    catalog: "Catalog",
    category_limit: int,
    kinds: np.ndarray,
    mosts: np.ndarray,
    chance: np.ndarray,
    follow: np.ndarray | None = None,
) -> Draw:
    """Fill ``query.k`` places; ``scores`` (ranked,) are those of the ranking's items, best first.

    ``category_limit`` is what one category may fill of WINDOW places while others wait; ``kinds`` (kinds, c) int64 are codes, -1 for
    none, of which at most ``mosts`` (kinds,) may be shown each; ``chance`` (k, 2) are numbers from 0 to 1 that decide. Pinned items stand where
    they are pinned, certainly. With ``follow`` (k,), places in the pool (-1: none of it), nothing is drawn: the propensities are those
    of a slate that was shown, 0 of what would never stand there.
    """
    first, k = len(query.shown), query.k
    pins, pinned = _pins(pool.rows, query.wishes.pins, catalog, first=first, k=k)
    weights = np.zeros((3, len(pool.rows)))  # of a uniform draw, of the softmax, of what is new
    weights[0, : min(pool.ranked, exploration.depth)] = 1.0
    weights[1, : pool.ranked] = _softmax_weights(scores, exploration.temperature)
    weights[2] = pool.newcomers
    shares = np.array([exploration.uniform, exploration.softmax, exploration.newcomers])
    chosen, propensities = _drawn(
        k,
        pool.ranked,
        pool.shelves,
        category_limit if category_limit < WINDOW else k + WINDOW,
        WINDOW,
        kinds,
        mosts,
        pins,
        pinned,
        weights,
        shares,
        max(0, exploration.first_place - 1 - first),
        chance,
        np.full(k, DRAWN, np.int64) if follow is None else follow,
    )
    return Draw(chosen, propensities)


def chance_of(draw_id: str, k: int) -> np.ndarray:
    """(k, 2) the chance behind one answer: the same for the same recommendation id, so that a draw can be made again."""
    seed = int.from_bytes(blake2b(draw_id.encode(), digest_size=16).digest())
    return np.random.default_rng(seed).random((k, 2))


def warmed() -> None:
    """Translate the draw to machine code, where it is not yet: no request shall wait for it."""
    none = np.zeros(0, np.int64)
    kinds, weights = np.zeros((0, 0), np.int64), np.zeros((3, 0))
    chance = np.zeros((0, 2))
    _drawn(0, 0, none, WINDOW, WINDOW, kinds, none, none, none > 0, weights, np.zeros(3), 0, chance, none)


def _softmax_weights(scores: np.ndarray, temperature: float) -> np.ndarray:
    """(c,) weights of the ranking's items."""
    if not len(scores):
        return np.zeros(0)
    exact = scores.astype(np.float64)
    spread = float(exact.std()) or 1.0
    weights: np.ndarray = np.exp((exact - exact.max()) / (temperature * spread))
    return weights


def _pins(
    rows: np.ndarray, pins: tuple[Pin, ...], catalog: "Catalog", *, first: int, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """(k,) the pool's place that is pinned to each place of the page, -1 for none; (c,) which items are pinned anywhere."""
    at = np.full(k, -1, np.int64)
    pinned = np.zeros(len(rows), np.bool_)
    for pin in sorted(pins, key=lambda each: each.place):
        (found,) = np.nonzero(rows == catalog.row_of.get(pin.item_id, -1))
        if not len(found) or pinned[found[0]]:
            continue
        pinned[found[0]] = True
        place = max(0, pin.place - 1 - first)
        free = np.flatnonzero(at[place:] < 0)
        if len(free):
            at[place + free[0]] = found[0]
    return at, pinned


@compiled
def _drawn(  # noqa: C901 - the rules of one place, in one pass
    k: int,
    ranked: int,
    shelves: np.ndarray,
    limit: int,
    window: int,
    kinds: np.ndarray,
    mosts: np.ndarray,
    pins: np.ndarray,
    pinned: np.ndarray,
    weights: np.ndarray,
    shares: np.ndarray,
    explored_from: int,
    chance: np.ndarray,
    follow: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Place by place: the pinned item, else one by the mixture over what may stand there; or what is followed."""
    count = len(shelves)
    chosen, propensities = np.empty(k, np.int64), np.empty(k, np.float64)
    open_, may = ~pinned, np.zeros(count, np.bool_)
    used = np.zeros(max(1, shelves.max() + 1) if count else 1, np.int64)
    counts = np.zeros((len(mosts), max(1, kinds.max() + 1) if kinds.size else 1), np.int64)
    for each in pins:
        if each >= 0:
            _count(counts, kinds, each)
    filled = 0
    while filled < k:
        if filled % window == 0:
            used[:] = 0
        pick, propensity = pins[filled], 1.0
        if pick < 0:
            best = _marked(may, open_, ranked, shelves, used, limit, kinds, counts, mosts)
            if best < 0:  # only categories are left that had their share: they go on
                best = _marked(may, open_, ranked, shelves, used, count + 1, kinds, counts, mosts)
            if best >= 0:
                here = shares if filled >= explored_from else np.zeros_like(shares)
                wanted = follow[filled]
                pick, propensity = _mixed(
                    best, may, weights, here, chance[filled, 0], chance[filled, 1], wanted
                )
                if pick >= 0:
                    _count(counts, kinds, pick)
            else:  # nothing of the ranking is left: what is pinned further down moves up
                for later in range(filled + 1, k):
                    if pick < 0 and pins[later] >= 0:
                        pick, pins[later] = pins[later], -1
                if pick < 0:
                    break
        if follow[filled] >= -1 and pick != follow[filled]:  # of a pin that others do not have
            pick, propensity = follow[filled], 0.0
        if pick >= 0:
            open_[pick] = False
            if shelves[pick] >= 0:
                used[shelves[pick]] += 1
        chosen[filled], propensities[filled] = pick, propensity
        filled += 1
    return chosen[:filled], propensities[:filled]


@compiled
def _count(counts: np.ndarray, kinds: np.ndarray, item: int) -> None:
    for kind in range(len(counts)):
        if kinds[kind, item] >= 0:
            counts[kind, kinds[kind, item]] += 1


@compiled
def _marked(
    may: np.ndarray,
    open_: np.ndarray,
    ranked: int,
    shelves: np.ndarray,
    used: np.ndarray,
    limit: int,
    kinds: np.ndarray,
    counts: np.ndarray,
    mosts: np.ndarray,
) -> int:
    """Mark what may stand at the next place; the best of the ranking among it, -1 where there is none."""
    best = -1
    for item in range(len(may)):
        may[item] = open_[item] and (shelves[item] < 0 or used[shelves[item]] < limit)
        for kind in range(len(mosts)):
            if may[item] and kinds[kind, item] >= 0:
                may[item] = counts[kind, kinds[kind, item]] < mosts[kind]
        if may[item] and best < 0 and item < ranked:
            best = item
    return best


@compiled
def _mixed(
    best: int,
    may: np.ndarray,
    weights: np.ndarray,
    shares: np.ndarray,
    which: float,
    goal: float,
    wanted: int,
) -> tuple[int, float]:
    """An item by the mixture, or the ``wanted`` one, and its chance; a distribution over nothing leaves its share to the best."""
    pick, rest, reached = best, 1.0, 0.0
    totals = np.zeros(len(shares))
    for part in range(len(shares)):
        for item in range(len(may)):
            if may[item]:
                totals[part] += weights[part, item]
        if totals[part] <= 0 or shares[part] <= 0:
            continue
        rest -= shares[part]
        if reached <= which < reached + shares[part]:
            left = goal * totals[part]
            for item in range(len(may)):
                if may[item] and weights[part, item] > 0 and left >= 0:
                    pick = item
                    left -= weights[part, item]
        reached += shares[part]
    if wanted >= -1:
        pick = wanted
    if pick < 0 or not may[pick]:
        return pick, 0.0
    propensity = max(rest, 0.0) if pick == best else 0.0
    for part in range(len(shares)):
        if totals[part] > 0:
            propensity += shares[part] * weights[part, pick] / totals[part]
    return pick, propensity
