"""The user's features at an instant: a pure function of the profile, the clock and the demographics."""

import numpy as np

from tailorbird.features.demographics import NOBODY, Demographics
from tailorbird.features.history.facts import BUCKETS
from tailorbird.features.history.records import MICROSECONDS, microseconds
from tailorbird.features.history.sums import PRICE, USER_COUNTS, USER_RATES, VALUE
from tailorbird.features.profile.state import UserState
from tailorbird.features.table import COUNTED_TYPES, HISTORY_LENGTH, LIVE_WINDOW_S, USER_FEATURES
from tailorbird.plumbing.compiled import compiled, positions

_AT = {name: position for position, name in enumerate(USER_FEATURES)}
_COLUMNS = positions(USER_FEATURES)
_LIVE = slice(
    _AT["live_view"], _AT["live_view"] + len(COUNTED_TYPES) - 1
)  # the types after impression, in order
_COUNTS = slice(_AT["impression_hour"], _AT["impression_hour"] + USER_COUNTS)
_LIVE_WINDOW_US = microseconds(LIVE_WINDOW_S)


def user_vector(state: UserState, *, now: float, demographics: Demographics = NOBODY) -> np.ndarray:
    """Compute (len(USER_FEATURES),) float32 at ``now`` (epoch seconds).

    Events after ``now`` (a clock ahead of ours) count as just happened in the decayed sums and are in no window.
    """
    x = np.zeros(len(USER_FEATURES), np.float32)
    _demographics(x, demographics)
    if state.total == 0:
        return x
    instant = microseconds(now)
    since_last = max(0.0, (instant - state.last_seen) / MICROSECONDS)
    x[_AT["since_last"]] = np.log1p(since_last)
    x[_AT["since_first"]] = np.log1p(max(0.0, (instant - state.first_seen) / MICROSECONDS))
    x[_AT["history_fill"]] = min(1.0, len(state.history) / HISTORY_LENGTH)
    _live(x, _COLUMNS, x[_LIVE], state.history, instant - _LIVE_WINDOW_US, instant)
    _session(x, _COLUMNS, state.history)
    sums = state.sums * np.exp2(USER_RATES * -since_last)
    x[_COUNTS] = np.log1p(sums[:USER_COUNTS])
    _moments(x, sums[PRICE], mean="price_mean", spread="price_spread", known="has_price")
    _moments(x, sums[VALUE], mean="value_mean", spread="value_spread", known="has_value")
    # Shares do not change with time: all buckets decay alike, so last_seen will do as well as now.
    brands = int(state.affinity_keys.searchsorted(BUCKETS))
    _affinity(x, _COLUMNS, np.maximum(0.0, state.affinity), brands)
    return x


@compiled
def _live(
    x: np.ndarray, columns: np.ndarray, counts: np.ndarray, history: np.ndarray, since: int, instant: int
) -> None:
    """What happened in the rolling window (since, instant]; ``counts`` (types - 1,) is the types' part of ``x``."""
    at = columns[0]
    items, categories = np.empty(len(history), np.int64), np.empty(len(history), np.int64)
    events = touched = categorised = priced = 0
    prices = 0.0
    for i in range(len(history)):
        event = history[i]
        if not since < event.time <= instant:
            continue
        events += 1
        if event.type:
            counts[event.type - 1] += 1.0
        if event.item:
            items[touched] = event.item
            touched += 1
        if event.category:
            categories[categorised] = event.category
            categorised += 1
        if event.log_price == event.log_price:
            prices += event.log_price
            priced += 1
    if not events:
        return
    for i in range(len(counts)):
        counts[i] = np.log1p(counts[i])
    distinct = len(_runs(items[:touched]))
    mix = _runs(categories[:categorised])
    x[at.live_events] = np.log1p(events)
    x[at.live_items] = np.log1p(distinct)
    x[at.live_categories] = np.log1p(len(mix))
    if categorised:
        x[at.live_top_category] = mix.max() / categorised
        x[at.live_category_entropy] = _entropy(mix, categorised)
    if touched:
        x[at.live_repeat_share] = 1.0 - distinct / touched
    if priced:
        x[at.live_price] = prices / priced


@compiled
def _session(x: np.ndarray, columns: np.ndarray, history: np.ndarray) -> None:
    """The latest session, where the latest event has one."""
    at = columns[0]
    if not len(history) or history[len(history) - 1].session == 0:
        return
    session, events = history[len(history) - 1].session, 0
    first = last = history[len(history) - 1].time
    for i in range(len(history)):
        if history[i].session == session:
            events += 1
            first, last = min(first, history[i].time), max(last, history[i].time)
    x[at.session_events] = np.log1p(events)
    x[at.session_seconds] = np.log1p((last - first) / 1e6)


@compiled
def _affinity(x: np.ndarray, columns: np.ndarray, affinity: np.ndarray, brands: int) -> None:
    """How the decayed strengths (>= 0) are spread: categories first, brands from place ``brands`` on."""
    at = columns[0]
    if not len(affinity):
        return
    x[at.category_count] = np.log1p(len(affinity))
    of_categories = affinity[:brands].sum()
    if of_categories > 1e-12:
        x[at.category_top] = affinity[:brands].max() / of_categories
        x[at.category_entropy] = _entropy(affinity[:brands], of_categories)
    of_brands = affinity[brands:].sum()
    if of_brands > 1e-12:
        x[at.brand_top] = affinity[brands:].max() / of_brands


@compiled
def _runs(values: np.ndarray) -> np.ndarray:
    """(d,) float64 how often each distinct value occurs."""
    ordered, lengths, d = np.sort(values), np.zeros(len(values)), 0
    for i in range(len(ordered)):
        if i and ordered[i] != ordered[i - 1]:
            d += 1
        lengths[d] += 1.0
    return lengths[: d + 1] if len(ordered) else lengths


@compiled
def _entropy(amounts: np.ndarray, total: float) -> float:
    """Entropy in nats of the mix that ``amounts`` make of ``total``; what is next to nothing says nothing."""
    found = 0.0
    for amount in amounts:
        share = amount / total
        if share > 1e-12:
            found -= share * np.log(share)
    return found


def _moments(x: np.ndarray, sums: np.ndarray, *, mean: str, spread: str, known: str) -> None:
    weight, total, squares = sums.tolist()
    if weight <= 1e-12:
        return
    average = total / weight
    x[_AT[mean]] = average
    variance = squares / weight - average * average
    if variance > 1e-11 * average * average:  # less is rounding, which depends on the order of events
        x[_AT[spread]] = variance**0.5
    x[_AT[known]] = 1.0


def _demographics(x: np.ndarray, demographics: Demographics) -> None:
    if demographics.age == demographics.age:
        x[_AT["age"]] = demographics.age / 50.0
        x[_AT["has_age"]] = 1.0
    gender = demographics.gender[:1].lower()
    x[_AT["gender_f"]] = gender == "f"
    x[_AT["gender_m"]] = gender == "m"
