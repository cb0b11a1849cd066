"""The items' features at an instant, made for the rows that are asked for: in a request as for the whole catalogue."""

from copy import copy

import numpy as np

from tailorbird.features.history.records import microseconds
from tailorbird.features.history.sums import ITEM_COUNTS, ITEM_RATES, ITEM_STRENGTH, ITEM_VALUE
from tailorbird.features.items.items import STATIC, ItemTable
from tailorbird.features.table import COUNTED_TYPES, ITEM_FEATURES, ITEM_HALF_LIVES
from tailorbird.plumbing.compiled import compiled, positions

_COLUMNS, _TYPES, _HORIZONS = (
    positions(ITEM_FEATURES),
    positions(COUNTED_TYPES),
    positions(list(ITEM_HALF_LIVES)),
)
_PLACES = np.array([ITEM_FEATURES.index(name) for name in STATIC])
_POPULARITIES = np.array([ITEM_FEATURES.index(f"popularity_{name}") for name in ITEM_HALF_LIVES])
_DAYS = np.array([seconds / 86_400.0 for seconds in ITEM_HALF_LIVES.values()])
_RATES = ITEM_RATES[: len(ITEM_HALF_LIVES)]
_AT = np.array([ITEM_COUNTS, ITEM_STRENGTH.start, ITEM_VALUE.start])


class ItemFeatures:
    """The features of a table's items at ``now`` (epoch seconds).

    What compares an item with all others (percentiles, the catalogue's rates) is counted once, here; the rest when a row is
    asked for.
    """

    def __init__(self, table: ItemTable, *, now: float) -> None:
        self._table, self.now = table, now
        self._instant = microseconds(now)
        self._ordered, self._totals = _counted(  # (2, n) float32 ascending; (10,)
            _TYPES, _HORIZONS, table.slots, table.held, table.seen, self._instant, _RATES, _AT
        )
        self._ordered.sort(axis=1)

    def grown(self, table: ItemTable) -> "ItemFeatures":
        """The same for a table with more items, which are compared with those that were there."""
        fresh = copy(self)
        fresh._table = table
        return fresh

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """(c, len(ITEM_FEATURES)) float32 of the items ``rows`` (c,)."""
        table, x = self._table, np.zeros((len(rows), len(ITEM_FEATURES)), np.float32)
        x[:, _PLACES] = table.static[rows]
        _happened(
            x,
            _COLUMNS,
            _TYPES,
            _HORIZONS,
            rows,
            table.slots,
            table.held,
            table.seen,
            table.totals,
            table.launched_at,
            self._instant,
            _RATES,
            _DAYS,
            _AT,
            _POPULARITIES,
            self._ordered,
            self._totals,
        )
        return x


def item_matrix(table: ItemTable, *, now: float) -> np.ndarray:
    """(n_items, len(ITEM_FEATURES)) float32 of the whole catalogue at ``now`` (epoch seconds)."""
    return ItemFeatures(table, now=now).rows(np.arange(len(table)))


@compiled
def _counted(
    types: np.ndarray,
    horizons: np.ndarray,
    slots: np.ndarray,
    held: np.ndarray,
    seen: np.ndarray,
    instant: int,
    rates: np.ndarray,
    at: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """(2, n) float32 each item's strength by week and ever, and (10,) what happened to all together.

    Those are the hits and trials of the four rates, then how many ratings there are and their sum.
    """
    kind, over, wide = types[0], horizons[0], len(rates)
    strengths, totals, factors = np.zeros((2, len(seen)), np.float32), np.zeros(10), np.empty(wide)
    for row in range(len(seen)):
        if slots[row] == 0:
            continue
        sums = held[slots[row]]
        elapsed = max(0.0, (instant - seen[row]) / 1e6)
        for each in range(wide):
            factors[each] = np.exp2(-elapsed * rates[each])
        strengths[0, row] = max(0.0, sums[at[1] + over.week] * factors[over.week])
        strengths[1, row] = max(0.0, sums[at[1] + over.ever] * factors[over.ever])
        month, ever = factors[over.month], factors[over.ever]
        clicked = sums[kind.click * wide + over.month] * month
        looked = clicked + sums[kind["view"] * wide + over.month] * month
        everything = 0.0
        for each in range(at[0] // wide):
            everything += sums[each * wide + over.ever] * ever
        totals[0] += clicked
        totals[1] += sums[kind.impression * wide + over.month] * month
        totals[2] += sums[kind.add_to_cart * wide + over.month] * month
        totals[3] += looked
        totals[4] += sums[kind.purchase * wide + over.month] * month
        totals[5] += looked
        totals[6] += sums[kind.hide * wide + over.ever] * ever
        totals[7] += everything
        totals[8] += sums[at[2]]
        totals[9] += sums[at[2] + 1]
    return strengths, totals


@compiled
def _happened(
    x: np.ndarray,
    columns: np.ndarray,
    types: np.ndarray,
    horizons: np.ndarray,
    rows: np.ndarray,
    slots: np.ndarray,
    held: np.ndarray,
    seen: np.ndarray,
    counts: np.ndarray,
    launches: np.ndarray,
    instant: int,
    rates: np.ndarray,
    days: np.ndarray,
    at: np.ndarray,
    popularities: np.ndarray,
    ordered: np.ndarray,
    totals: np.ndarray,
) -> None:
    """Write what depends on events and on the instant into ``x`` (c, features)."""
    column, kind, over, wide = columns[0], types[0], horizons[0], len(rates)
    factors, strength, n = np.empty(wide), np.empty(wide), ordered.shape[1]
    average = totals[9] / totals[8] if totals[8] > 0 else 0.0
    for place in range(len(rows)):
        row = rows[place]
        sums = held[slots[row]]
        elapsed = max(0.0, (instant - seen[row]) / 1e6)
        for each in range(wide):
            factors[each] = np.exp2(-elapsed * rates[each])
            strength[each] = max(0.0, sums[at[1] + each] * factors[each])
            x[place, popularities[each]] = np.log1p(strength[each])
        week, ever = np.float32(strength[over.week]), np.float32(strength[over.ever])
        x[place, column.popularity_week_rank] = _percentile(ordered[0], week, n)
        x[place, column.popularity_ever_rank] = _percentile(ordered[1], ever, n)
        # A decayed count with half-life h holds about 1.44 h of steady traffic: divide by h for a daily rate.
        daily = strength / days
        x[place, column.trend_day] = np.log((daily[over.day] + 0.1) / (daily[over.week] + 0.1))
        x[place, column.trend_week] = np.log((daily[over.week] + 0.1) / (daily[over.month] + 0.1))
        faded = factors[over.month]
        clicked = sums[kind.click * wide + over.month] * faded
        looked = clicked + sums[kind["view"] * wide + over.month] * faded
        shown = sums[kind.impression * wide + over.month] * faded
        carted = sums[kind.add_to_cart * wide + over.month] * faded
        bought = sums[kind.purchase * wide + over.month] * faded
        hidden, everything = sums[kind.hide * wide + over.ever] * factors[over.ever], 0.0
        for each in range(at[0] // wide):
            everything += sums[each * wide + over.ever] * factors[over.ever]
        x[place, column.click_rate] = _smoothed(clicked, shown, totals[0], totals[1])
        x[place, column.cart_rate] = _smoothed(carted, looked, totals[2], totals[3])
        x[place, column.purchase_rate] = _smoothed(bought, looked, totals[4], totals[5])
        x[place, column.hide_rate] = _smoothed(hidden, everything, totals[6], totals[7])
        rated = sums[at[2]]
        x[place, column.value_mean] = (sums[at[2] + 1] - average * rated) / (rated + 5.0)
        x[place, column.since_last] = np.log1p(elapsed) if counts[row] > 0 else 20.0
        age_days = 365.0
        if np.isfinite(launches[row]):
            age_days = max(0.0, instant / 1e6 - launches[row]) / 86_400.0
        x[place, column.age] = np.log1p(age_days)
        x[place, column.is_new] = age_days < 14.0


@compiled
def _percentile(ordered: np.ndarray, value: np.float32, count: int) -> float:
    """The percentile in (0, 1] of ``value`` among ``ordered`` (n,) ascending; ties share the middle."""
    first = np.searchsorted(ordered, value)
    last = np.searchsorted(ordered, value, side="right")
    return (first + last + 1) / (2.0 * count)


@compiled
def _smoothed(hits: float, trials: float, all_hits: float, all_trials: float) -> float:
    """A rate drawn to the catalogue's by 20 trials; 0 where there are no trials at all."""
    if all_trials <= 1e-9:
        return 0.0
    rate = min(1.0, all_hits / all_trials)
    return min(5.0, (hits + 20.0 * rate) / (trials + 20.0))
