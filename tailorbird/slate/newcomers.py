"""Newcomers: items launched lately, each with a frozen chance of a place that is kept for what is new.

First by need: what has had fewest of its first impressions is the likeliest. Then by Thompson sampling (Thompson 1933; Chapelle,
Li 2011): the chance that an item's rate of being taken, drawn from its posterior, is the highest of all. The chances are counted once
and then hold for many answers, so a propensity is a number that was looked up, not a draw within a draw.
"""

from dataclasses import dataclass

import numpy as np

from tailorbird.features.history.sums import TYPE_CODE
from tailorbird.features.items.items import ItemTable
from tailorbird.features.table import ITEM_HALF_LIVES

MOST = 200
"""Newcomers at a time: those that need it most."""
DRAWS = 1_000
"""Draws from the posteriors behind the chances."""
PRIOR = (1.0, 19.0)
"""Takes and misses that every item begins with: one look in twenty."""
_DAY = 86_400.0
_EVER = list(ITEM_HALF_LIVES).index("ever")
_TAKES = ("click", "add_to_cart", "purchase", "rating", "like")


@dataclass(frozen=True)
class Newcomers:
    """``rows`` (m,) int64 of the catalogue, ascending, and their ``chances`` (m,) float64, which add up to 1."""

    rows: np.ndarray
    chances: np.ndarray

    @classmethod
    def of(
        cls, table: ItemTable, *, now: float, new_days: float, first_impressions: int, draws: int = DRAWS
    ) -> "Newcomers":
        """Those of a table's items that were launched in the ``new_days`` before ``now`` (epoch seconds).

        Impressions and takes are those of the table's counters: without ``impression`` events every event on an item counts as
        one. The same counts lead to the same chances in every process.
        """
        age = now - table.launched_at  # NaN: unknown, not new
        with np.errstate(invalid="ignore"):
            rows = np.flatnonzero((age >= 0) & (age < new_days * _DAY))
        seen, taken = _counts(table, rows)
        need = np.maximum(0.0, 1.0 - seen / max(first_impressions, 1))
        kept = np.sort(np.lexsort((rows, -need))[:MOST])
        rows, seen, taken, need = rows[kept], seen[kept], taken[kept], need[kept]
        if not len(rows):
            return NO_NEWCOMERS
        best = _chance_to_be_best(seen, taken, draws=draws)
        by_need = need / need.sum() if need.any() else best
        share = float(need.mean())
        return cls(rows.astype(np.int64), share * by_need + (1.0 - share) * best)

    def __len__(self) -> int:
        return len(self.rows)

    def chances_of(self, rows: np.ndarray) -> np.ndarray:
        """(c,) the chances of catalogue ``rows`` (c,), 0 of what is not new."""
        if not len(self.rows):
            return np.zeros(len(rows))
        places = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        return np.where(self.rows[places] == rows, self.chances[places], 0.0)


NO_NEWCOMERS = Newcomers(np.zeros(0, np.int64), np.zeros(0))


def _counts(table: ItemTable, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(c,) impressions and (c,) takes of ``rows`` ever."""
    sums = table.held[table.slots[rows]]
    horizons = len(ITEM_HALF_LIVES)

    def ever(kind: str) -> np.ndarray:
        counted: np.ndarray = sums[:, TYPE_CODE[kind] * horizons + _EVER]
        return counted

    taken = sum((ever(kind) for kind in _TAKES), np.zeros(len(rows)))
    shown = ever("impression")
    return np.where(shown > 0, shown, table.totals[rows]), taken


def _chance_to_be_best(seen: np.ndarray, taken: np.ndarray, *, draws: int) -> np.ndarray:
    """(m,) shares of draws from the Beta posteriors in which each rate was the highest; nobody's is 0."""
    rng = np.random.default_rng(0)
    rates = rng.beta(PRIOR[0] + taken, PRIOR[1] + np.maximum(seen - taken, 0.0), size=(draws, len(seen)))
    wins = np.bincount(rates.argmax(axis=1), minlength=len(seen))
    return (wins + 0.5) / (draws + 0.5 * len(seen))
