"""The page: items selected from a ranking, what is missing filled from the fallback chain, each with where it came from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tailorbird.catalog.catalog import Catalog
from tailorbird.models.allowed import NO_ROWS
from tailorbird.slate.exploration import Draw, Exploration, Pool, chance_of, draw_slate
from tailorbird.slate.filters import Screen
from tailorbird.slate.newcomers import Newcomers
from tailorbird.slate.query import Query, Ranking, SlateItem
from tailorbird.slate.select import VarietySelector
from tailorbird.slate.shelf import Shelf
from tailorbird.slate.wishes import Caps, arranged
from tailorbird.slate.words import number_of


def select_rows(
    ranking: Ranking, screen: Screen, shelf: Shelf, query: Query, *, caps: Caps, max_category_share: float
) -> tuple[np.ndarray, int]:
    """(≤ query.k,) places of the ranking to show, best first, and how many more of it could be shown."""
    places = np.flatnonzero(screen.allowed.of(ranking.candidates.rows))
    shelves = shelf.shelf_of[ranking.candidates.rows[places]]
    varied, pins = VarietySelector(max_category_share), query.wishes.pins
    if query.wishes.arranges:
        order = places[varied.select(shelves, len(places))]
        rows = ranking.candidates.rows[order]
        chosen = order[arranged(rows, pins, shelf, caps, first=len(query.shown), k=query.k)]
    else:
        chosen = places[varied.select(shelves, query.k)]
    return chosen, len(places) - len(chosen)


@dataclass(frozen=True)
class Drawer:
    """Draws the items of a page by chance, or says with which chance they would have been drawn."""

    shelf: Shelf
    max_category_share: float
    exploration: Exploration
    newcomers: Newcomers

    def draw(
        self, ranking: Ranking, screen: Screen, query: Query, *, caps: Caps
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        """(≤ query.k,) places of the ranking to show, of which new items follow the ranking's own: (m,) rows.

        Then (≤ query.k,) float32 propensities, and how many more of the ranking could be shown.
        """
        pool = self._pool(ranking, screen)
        draw = self._drawn(pool, ranking, query, caps)
        own = draw.chosen < pool.ranked
        chosen = np.empty(len(draw.chosen), np.int64)
        chosen[own] = pool.places[draw.chosen[own]]
        chosen[~own] = len(ranking.candidates) + np.arange(int((~own).sum()))
        for row in pool.rows[draw.chosen].tolist():
            caps.take(row)
        more = pool.rows[draw.chosen[~own]]
        return chosen, more, draw.propensities.astype(np.float32), pool.ranked - int(own.sum())

    def chances(
        self, ranking: Ranking, screen: Screen, query: Query, rows: np.ndarray, *, caps: Caps
    ) -> np.ndarray:
        """(query.k,) the propensities of a slate that was shown, by its items' ``rows`` (query.k,); 0 of what never stands there."""
        pool = self._pool(ranking, screen)
        place_of = {row: place for place, row in enumerate(pool.rows.tolist())}
        follow = np.array([place_of.get(row, -1) for row in rows.tolist()], np.int64)
        found = np.zeros(query.k)
        propensities = self._drawn(pool, ranking, query, caps, follow=follow).propensities
        found[: len(propensities)] = propensities
        return found

    def _pool(self, ranking: Ranking, screen: Screen) -> Pool:
        places = np.flatnonzero(screen.allowed.of(ranking.candidates.rows))
        new = screen.allowed.of(self.newcomers.rows)
        return Pool.of(ranking, places, self.newcomers, new, self.shelf.shelf_of)

    def _drawn(
        self, pool: Pool, ranking: Ranking, query: Query, caps: Caps, *, follow: np.ndarray | None = None
    ) -> Draw:
        kinds, mosts = caps.kinds_of(pool.rows)
        return draw_slate(
            pool,
            ranking.scores[pool.places],
            query,
            self.exploration,
            catalog=self.shelf.catalog,
            category_limit=VarietySelector(self.max_category_share).limit,
            kinds=kinds,
            mosts=mosts,
            chance=chance_of(query.draw_id, query.k),
            follow=follow,
        )


def items_of(ranking: Ranking, places: np.ndarray, catalog: Catalog, *, explain: bool) -> list[SlateItem]:
    """The ranked items at ``places``; with ``explain`` each says at which place its sources had it."""
    found = ranking.candidates
    names = found.source_names
    ids = catalog.item_ids[found.rows[places]].tolist()
    scores = ranking.scores[places].tolist()
    all_ranks = found.ranks[places]
    reasons: list[tuple[str, ...]] = [()] * len(ids)
    if explain:
        reasons = [_reasons(names, ranks) for ranks in all_ranks.tolist()]
    bits = (all_ranks >= 0) @ (1 << np.arange(len(names)))  # (k,) which sources hold each item
    who = [_holders(names, held) for held in bits.tolist()]
    return [SlateItem(*item) for item in zip(ids, scores, who, reasons, strict=True)]


def filled(
    lists: Iterable[tuple[str, np.ndarray]],
    catalog: Catalog,
    *,
    missing: int,
    caps: Caps,
    taken: np.ndarray = NO_ROWS,
) -> tuple[list[SlateItem], str]:
    """Up to ``missing`` items from ``lists`` of the chain that are not ``taken``, and the name of the first list that gave one."""
    items: list[SlateItem] = []
    used = set(taken.tolist())
    for name, rows in lists:
        for row in rows.tolist():
            if len(items) == missing:
                return items, items[0].sources[0] if items else ""
            if row not in used and caps.take(row):
                used.add(row)
                items.append(SlateItem(str(catalog.item_ids[row]), 0.0, (name,)))
    return items, items[0].sources[0] if items else ""


@lru_cache(maxsize=1024)
def _holders(names: tuple[str, ...], bits: int) -> tuple[str, ...]:
    """The names whose bit is set: few combinations, shared by all answers."""
    return tuple(name for place, name in enumerate(names) if bits >> place & 1)


def _reasons(names: Sequence[str], ranks: Sequence[int]) -> tuple[str, ...]:
    return tuple(number_of(rank, name) for name, rank in zip(names, ranks, strict=True) if rank >= 0)
