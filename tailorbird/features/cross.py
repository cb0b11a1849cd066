"""The features of a user and a candidate together: affinity, live intent, price distance, what was seen before."""

import numpy as np

from tailorbird.features.facts import BUCKETS
from tailorbird.features.functions import window
from tailorbird.features.items import ItemTable
from tailorbird.features.records import MICROSECONDS, microseconds
from tailorbird.features.state import UserState
from tailorbird.features.sums import PRICE, TYPE_CODE
from tailorbird.features.table import CROSS_FEATURES, LIVE_WINDOW_S

_AT = {name: position for position, name in enumerate(CROSS_FEATURES)}
RECENT = 10


def cross_matrix(state: UserState, table: ItemTable, rows: np.ndarray, *, now: float) -> np.ndarray:
    """Compute (c, len(CROSS_FEATURES)) float32 of one user and the candidates ``rows`` (c,), at ``now`` (epoch seconds).

    Rows of -1 (no candidate) get the features of some item: mask them outside. The result is stored by feature
    (Fortran order): that is how it is written, and this runs in every request.
    """
    x = np.zeros((len(CROSS_FEATURES), len(rows)), np.float32)  # (features, c)
    if len(rows) == 0 or len(table) == 0:
        return x.T
    codes = table.codes_by_slot.take(rows, axis=1)  # (categories, c)
    brands = table.brands.take(rows)  # (c,)
    _affinity(x, state, table, codes, brands)
    _prices(x, state, table, rows)
    history = state.history
    if len(history):
        instant = microseconds(now)
        _intent(x, history, table, codes, brands, instant)
        _seen(x, history, table, rows, instant)
    return x.T


def _affinity(
    x: np.ndarray, state: UserState, table: ItemTable, codes: np.ndarray, brands: np.ndarray
) -> None:
    affinity = state.affinity
    if not len(affinity):
        x[_AT["category_unknown"]] = 1.0
        return
    split = int(state.affinity_keys.searchsorted(BUCKETS))
    known = table.code_of_bucket.take(state.affinity_keys)
    share = np.zeros(len(table.buckets))
    share[known[:split]] = affinity[:split] / max(float(affinity[:split].sum()), 1e-12)
    share[known[split:]] = affinity[split:] / max(float(affinity[split:].sum()), 1e-12)
    share[-1] = 0.0  # buckets that no item has, and the padding
    shares = share.take(codes)  # (categories, c)
    best = shares.max(axis=0)
    x[_AT["category_affinity"]] = shares.sum(axis=0)
    x[_AT["category_affinity_best"]] = best
    x[_AT["category_unknown"]] = best <= 0
    x[_AT["brand_affinity"]] = share.take(brands)


def _intent(
    x: np.ndarray, history: np.ndarray, table: ItemTable, codes: np.ndarray, brands: np.ndarray, instant: int
) -> None:
    live = window(history, instant)
    if len(live):
        mix = _mix(live, table)
        x[_AT["live_category_share"]] = mix.take(codes).max(axis=0)
        x[_AT["live_brand_share"]] = mix.take(brands)
    touched = history["item"].nonzero()[0][-RECENT:]
    if not len(touched):
        return
    recent = history[touched]
    x[_AT["recent_category_share"]] = _mix(recent, table).take(codes).max(axis=0)
    none = len(table.buckets) - 1
    _, _, _, _, _, _, category, brand, _, _ = recent[-1].item()
    category, brand = table.code_of_bucket[category], table.code_of_bucket[BUCKETS + brand]
    if category != none:
        x[_AT["last_category"]] = (codes == category).any(axis=0)
    if brand != none:
        x[_AT["last_brand"]] = brands == brand


def _mix(records: np.ndarray, table: ItemTable) -> np.ndarray:
    """(buckets,) share of the records in each category and of each brand; the padding's is 0."""
    buckets = np.empty((2, len(records)), np.int64)
    buckets[0] = records["category"]
    buckets[1] = records["brand"]
    buckets[1] += BUCKETS
    mix = np.bincount(table.code_of_bucket.take(buckets.ravel()), minlength=len(table.buckets)) / len(records)
    mix[-1] = 0.0
    return mix


def _prices(x: np.ndarray, state: UserState, table: ItemTable, rows: np.ndarray) -> None:
    prices, known = table.filled_prices.take(rows, axis=1)  # (2, c)
    weight, total, squares = state.sums[PRICE].tolist()
    if weight > 1e-12:
        mean = total / weight
        spread = max(0.0, squares / weight - mean * mean) ** 0.5
        above = (prices - mean) * known
        x[_AT["price_above"]] = above
        x[_AT["price_distance"]] = np.abs(above) / (spread + 0.25)
    if len(state.history):
        last = float(state.history["log_price"][-1])
        if last == last:
            x[_AT["price_step"]] = (prices - last) * known


def _seen(x: np.ndarray, history: np.ndarray, table: ItemTable, rows: np.ndarray, instant: int) -> None:
    candidates = table.keys.take(rows)
    order = candidates.argsort()
    ordered = candidates.take(order)
    keys = history["item"].copy()  # contiguous and aligned, unlike the packed field
    where = ordered.searchsorted(keys)
    np.minimum(where, len(ordered) - 1, out=where)
    known = (ordered.take(where) == keys).nonzero()[0]
    if not len(known):
        return
    place = order.take(where.take(known))  # (k,) candidates of the matching events, oldest first
    matching = history[known]
    types = matching["type"]
    since_s = np.maximum(0, instant - matching["time"]) / MICROSECONDS
    x[_AT["times_seen"]] = np.log1p(np.bincount(place, minlength=len(rows)))
    # Assigning to a repeated index keeps the last value: the latest event of each candidate.
    x[_AT["seen_recency"], place] = np.exp(-since_s / 3600.0)
    x[_AT["seen_live"], place] = since_s < LIVE_WINDOW_S
    bought = types == TYPE_CODE["purchase"]
    changed = bought | (types == TYPE_CODE["add_to_cart"])
    x[_AT["carted"], place[changed]] = ~bought[changed]
    x[_AT["purchased"], place[bought]] = 1.0
    x[_AT["hidden"], place[types == TYPE_CODE["hide"]]] = 1.0
