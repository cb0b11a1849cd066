"""The features of a user and a candidate together: affinity, live intent, price distance, what was seen before."""

import numpy as np

from tailorbird.features.history.records import microseconds
from tailorbird.features.history.sums import PRICE
from tailorbird.features.items.items import ItemTable
from tailorbird.features.profile.state import UserState
from tailorbird.features.table import COUNTED_TYPES, CROSS_FEATURES, LIVE_WINDOW_S
from tailorbird.plumbing.compiled import compiled, positions

RECENT = 10
_COLUMNS, _TYPES = positions(CROSS_FEATURES), positions(COUNTED_TYPES)
_LIVE_WINDOW_US = microseconds(LIVE_WINDOW_S)


def cross_matrix(state: UserState, table: ItemTable, rows: np.ndarray, *, now: float) -> np.ndarray:
    """Compute (c, len(CROSS_FEATURES)) float32 of one user and the candidates ``rows`` (c,), at ``now`` (epoch seconds).

    Rows of -1 (no candidate) get the features of some item: mask them outside.
    """
    x = np.zeros((len(rows), len(CROSS_FEATURES)), np.float32)
    if len(rows) == 0 or len(table) == 0:
        return x
    codes, brands, code_of = table.codes, table.brands, table.code_of_bucket
    _affinity(x, _COLUMNS, state.affinity_keys, state.affinity, code_of, codes, brands, rows)
    _prices(x, _COLUMNS, state.sums[PRICE], state.history, table.filled_prices, rows)
    if len(state.history):
        instant = microseconds(now)
        since = instant - _LIVE_WINDOW_US
        _intent(x, _COLUMNS, state.history, since, instant, code_of, codes, brands, rows)
        _seen(x, _COLUMNS, _TYPES, state.history, since, instant, table.keys, rows)
    return x


@compiled
def _affinity(
    x: np.ndarray,
    columns: np.ndarray,
    keys: np.ndarray,
    strengths: np.ndarray,
    code_of: np.ndarray,
    codes: np.ndarray,
    brands: np.ndarray,
    rows: np.ndarray,
) -> None:
    """The user's shares of what is liked; ``code_of`` (2 * buckets,) has categories in its first half, brands in the other."""
    at = columns[0]
    none = code_of[0]  # the code of buckets that no item has
    first_brand = len(code_of) // 2
    of_categories = of_brands = 0.0
    for i in range(len(keys)):
        if keys[i] < first_brand:
            of_categories += max(0.0, strengths[i])
        else:
            of_brands += max(0.0, strengths[i])
    share = np.zeros(none + 1)
    for i in range(len(keys)):
        total = of_categories if keys[i] < first_brand else of_brands
        share[code_of[keys[i]]] = max(0.0, strengths[i]) / max(total, 1e-12)
    share[none] = 0.0
    for place in range(len(rows)):
        total = best = 0.0
        for code in codes[rows[place]]:
            total += share[code]
            best = max(best, share[code])
        x[place, at.category_affinity] = total
        x[place, at.category_affinity_best] = best
        x[place, at.category_unknown] = best <= 0
        x[place, at.brand_affinity] = share[brands[rows[place]]]


@compiled
def _prices(
    x: np.ndarray,
    columns: np.ndarray,
    sums: np.ndarray,
    history: np.ndarray,
    prices: np.ndarray,
    rows: np.ndarray,
) -> None:
    """How far prices are from the user's mean and last one; ``prices`` (n, 2): log prices, 0 for unknown, and 1 if known."""
    at = columns[0]
    chose = sums[0] > 1e-12
    mean = spread = 0.0
    if chose:
        mean = sums[1] / sums[0]
        variance = sums[2] / sums[0] - mean * mean
        if variance > 1e-11 * mean * mean:  # less is rounding, which depends on the order of events
            spread = np.sqrt(variance)
    last = np.float32(np.nan)
    if len(history):
        last = history[len(history) - 1].log_price
    for place in range(len(rows)):
        price, known = prices[rows[place], 0], prices[rows[place], 1]
        if chose:
            x[place, at.price_above] = (price - mean) * known
            x[place, at.price_distance] = abs(price - mean) * known / (spread + 0.25)
        if last == last:
            x[place, at.price_step] = (price - last) * known


@compiled
def _intent(
    x: np.ndarray,
    columns: np.ndarray,
    history: np.ndarray,
    since: int,
    instant: int,
    code_of: np.ndarray,
    codes: np.ndarray,
    brands: np.ndarray,
    rows: np.ndarray,
) -> None:
    """The mix of categories and brands in the live window (since, instant] and in the last events on an item."""
    at = columns[0]
    none, first_brand = code_of[0], len(code_of) // 2
    live, recent = np.zeros(none + 1), np.zeros(none + 1)  # events of each category and of each brand
    in_window = touched = 0
    last_category = last_brand = none
    for back in range(len(history) - 1, -1, -1):
        event = history[back]
        category, brand = code_of[event.category], code_of[first_brand + event.brand]
        if since < event.time <= instant:
            in_window += 1
            live[category] += 1.0
            live[brand] += 1.0
        if event.item != 0 and touched < RECENT:
            if touched == 0:
                last_category, last_brand = category, brand
            touched += 1
            recent[category] += 1.0
            recent[brand] += 1.0
    live[none] = recent[none] = 0.0
    for place in range(len(rows)):
        most_live = most_recent = 0.0
        for code in codes[rows[place]]:
            most_live, most_recent = max(most_live, live[code]), max(most_recent, recent[code])
            if code == last_category and code != none:
                x[place, at.last_category] = 1.0
        brand = brands[rows[place]]
        if in_window:
            x[place, at.live_category_share] = most_live / in_window
            x[place, at.live_brand_share] = live[brand] / in_window
        if touched:
            x[place, at.recent_category_share] = most_recent / touched
            x[place, at.last_brand] = brand == last_brand and brand != none


@compiled
def _seen(
    x: np.ndarray,
    columns: np.ndarray,
    types: np.ndarray,
    history: np.ndarray,
    since: int,
    instant: int,
    keys: np.ndarray,
    rows: np.ndarray,
) -> None:
    """What the user did with each candidate; its latest event says how long ago that was and whether it is in the cart."""
    at, kind = columns[0], types[0]
    wanted = keys[rows]
    order = np.argsort(wanted)
    ordered = wanted[order]
    for i in range(len(history)):
        event = history[i]
        found = np.searchsorted(ordered, event.item)
        if found == len(ordered) or ordered[found] != event.item:
            continue
        place = order[found]
        x[place, at.times_seen] += 1.0  # its logarithm follows
        x[place, at.seen_recency] = np.exp(-max(0, instant - event.time) / 3600e6)
        x[place, at.seen_live] = event.time > since
        if event.type == kind.purchase:
            x[place, at.purchased], x[place, at.carted] = 1.0, 0.0
        elif event.type == kind.add_to_cart:
            x[place, at.carted] = 1.0
        elif event.type == kind.hide:
            x[place, at.hidden] = 1.0
    for place in range(len(rows)):
        x[place, at.times_seen] = np.log1p(x[place, at.times_seen])
