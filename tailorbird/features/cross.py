"""The features of a user and a candidate together: affinity, live intent, price distance, what was seen before."""

import numpy as np

from tailorbird.features.facts import BUCKETS
from tailorbird.features.functions import window
from tailorbird.features.items import ItemTable
from tailorbird.features.records import MICROSECONDS, microseconds
from tailorbird.features.state import UserState
from tailorbird.features.sums import PRICE, TYPE_CODE
from tailorbird.features.table import CROSS_FEATURES

_AT = {name: position for position, name in enumerate(CROSS_FEATURES)}
RECENT = 10


def cross_matrix(state: UserState, table: ItemTable, rows: np.ndarray, *, now: float) -> np.ndarray:
    """Compute (c, len(CROSS_FEATURES)) float32 of one user and the candidates ``rows`` (c,), at ``now`` (epoch seconds).

    Rows of -1 (no candidate) get the features of some item: mask them outside.
    """
    x = np.zeros((len(rows), len(CROSS_FEATURES)), np.float32)
    codes = table.codes[rows]  # (c, categories)
    brands = table.brands[rows]  # (c,)
    _affinity(x, state, table, codes, brands)
    _prices(x, state, table.log_prices[rows])
    history = state.history
    if len(history):
        instant = microseconds(now)
        _intent(x, history, table, codes, brands, instant)
        _seen(x, history, table, rows, instant)
    return x


def _affinity(
    x: np.ndarray, state: UserState, table: ItemTable, codes: np.ndarray, brands: np.ndarray
) -> None:
    share = np.zeros(len(table.buckets))
    if len(state.affinity):
        split = int(np.searchsorted(state.affinity_keys, BUCKETS))
        known = table.code_of_bucket[state.affinity_keys]
        categories, owned = state.affinity[:split], state.affinity[split:]
        share[known[:split]] = categories / max(categories.sum(), 1e-12)
        share[known[split:]] = owned / max(owned.sum(), 1e-12)
        share[-1] = 0.0  # buckets that no item has, and the padding
    shares = share[codes]  # (c, categories)
    best = shares.max(axis=1)
    x[:, _AT["category_affinity"]] = shares.sum(axis=1)
    x[:, _AT["category_affinity_best"]] = best
    x[:, _AT["category_unknown"]] = best <= 0
    x[:, _AT["brand_affinity"]] = share[brands]


def _intent(
    x: np.ndarray, history: np.ndarray, table: ItemTable, codes: np.ndarray, brands: np.ndarray, instant: int
) -> None:
    live = window(history, instant)
    if len(live):
        mix = _mix(live, table)
        x[:, _AT["live_category_share"]] = mix[codes].max(axis=1)
        x[:, _AT["live_brand_share"]] = mix[brands]
    touched = history[history["item"] != 0][-RECENT:]
    if not len(touched):
        return
    x[:, _AT["recent_category_share"]] = _mix(touched, table)[codes].max(axis=1)
    none = len(table.buckets) - 1
    last = touched[-1]
    category = table.code_of_bucket[int(last["category"])]
    brand = table.code_of_bucket[BUCKETS + int(last["brand"])]
    if last["category"] and category != none:
        x[:, _AT["last_category"]] = (codes == category).any(axis=1)
    if last["brand"] and brand != none:
        x[:, _AT["last_brand"]] = brands == brand


def _mix(records: np.ndarray, table: ItemTable) -> np.ndarray:
    """(buckets,) share of the records in each category and of each brand; the padding's is 0."""
    codes = np.concatenate(
        [
            table.code_of_bucket[records["category"].astype(np.int64)],
            table.code_of_bucket[records["brand"].astype(np.int64) + BUCKETS],
        ]
    )
    mix = np.bincount(codes, minlength=len(table.buckets)) / len(records)
    mix[-1] = 0.0
    return mix


def _prices(x: np.ndarray, state: UserState, prices: np.ndarray) -> None:
    weight, total, squares = state.sums[PRICE].tolist()
    if weight > 1e-12:
        mean = total / weight
        spread = max(0.0, squares / weight - mean * mean) ** 0.5
        above = np.nan_to_num(prices - mean)
        x[:, _AT["price_above"]] = above
        x[:, _AT["price_distance"]] = np.abs(above) / (spread + 0.25)
    if len(state.history):
        last = float(state.history["log_price"][-1])
        if last == last:
            x[:, _AT["price_step"]] = np.nan_to_num(prices - last)


def _seen(x: np.ndarray, history: np.ndarray, table: ItemTable, rows: np.ndarray, instant: int) -> None:
    order = np.argsort(table.keys[rows], kind="stable")
    ordered = table.keys[rows][order]
    keys = history["item"]
    where = np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)
    known = np.flatnonzero(ordered[where] == keys) if len(ordered) else np.zeros(0, np.int64)
    if not len(known):
        return
    place = order[where[known]]  # (k,) candidates of the history's matching events, oldest first
    types = history["type"][known]
    since_s = np.maximum(0, instant - history["time"][known]) / MICROSECONDS
    x[:, _AT["times_seen"]] = np.log1p(np.bincount(place, minlength=len(rows)))
    # Assigning to a repeated index keeps the last value: the latest event of each candidate.
    x[place, _AT["seen_recency"]] = np.exp(-since_s / 3600.0)
    x[place, _AT["seen_live"]] = since_s < 900.0
    bought = types == TYPE_CODE["purchase"]
    changed = bought | (types == TYPE_CODE["add_to_cart"])
    x[place[changed], _AT["carted"]] = ~bought[changed]
    x[place[bought], _AT["purchased"]] = 1.0
    x[place[types == TYPE_CODE["hide"]], _AT["hidden"]] = 1.0
