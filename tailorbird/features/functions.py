"""The user's features at an instant: a pure function of the profile, the clock and the demographics."""

from dataclasses import dataclass

import numpy as np

from tailorbird.catalog import Users
from tailorbird.features.facts import BUCKETS
from tailorbird.features.records import MICROSECONDS, microseconds
from tailorbird.features.state import UserState
from tailorbird.features.sums import PRICE, USER_COUNTS, USER_RATES, VALUE
from tailorbird.features.table import COUNTED_TYPES, HISTORY_LENGTH, LIVE_WINDOW_S, USER_FEATURES

_TYPES = len(COUNTED_TYPES)
_AT = {name: position for position, name in enumerate(USER_FEATURES)}
_LIVE = _AT["live_view"]  # the types after impression, in their order
_COUNTS = slice(_AT["impression_hour"], _AT["impression_hour"] + USER_COUNTS)
_LIVE_WINDOW_US = microseconds(LIVE_WINDOW_S)


@dataclass(frozen=True)
class Demographics:
    """What a user told us: age in years (NaN unknown), gender and country ('' unknown)."""

    age: float = float("nan")
    gender: str = ""
    country: str = ""


NOBODY = Demographics()


def demographics_of(users: Users) -> dict[str, Demographics]:
    """Look-up of demographics by user key."""
    table = users.users
    return {
        user_id: Demographics(age=float(age), gender=str(gender), country=str(country))
        for user_id, age, gender, country in zip(
            table["user_id"], table["age"], table["gender"], table["country"], strict=True
        )
    }


def user_vector(state: UserState, *, now: float, demographics: Demographics = NOBODY) -> np.ndarray:
    """Compute (len(USER_FEATURES),) float32 at ``now`` (epoch seconds).

    Events after ``now`` (a clock ahead of ours) count as just happened in the decayed sums and are in no window.
    """
    x = np.zeros(len(USER_FEATURES), np.float32)
    _demographics(x, demographics)
    if state.total == 0:
        return x
    instant = microseconds(now)
    _live(x, state, instant)
    _session(x, state, instant)
    sums = state.sums * np.exp2(USER_RATES * -max(0.0, (instant - state.last_seen) / MICROSECONDS))
    x[_COUNTS] = np.log1p(sums[:USER_COUNTS])
    _moments(x, sums[PRICE], mean="price_mean", spread="price_spread", known="has_price")
    _moments(x, sums[VALUE], mean="value_mean", spread="value_spread", known="has_value")
    _affinity(x, state)
    return x


def window(history: np.ndarray, instant: int) -> np.ndarray:
    """The part of a history inside the rolling window (instant - 15 minutes, instant]; a view."""
    times = history["time"]
    start, end = np.searchsorted(times, (instant - _LIVE_WINDOW_US, instant), side="right")
    return history[start:end]


def entropy(counts: np.ndarray, total: float) -> float:
    """Entropy in nats of the mix that positive ``counts`` make."""
    shares = counts / total
    return float(-(shares * np.log(shares)).sum())


def _live(x: np.ndarray, state: UserState, instant: int) -> None:
    live = window(state.history, instant)
    if not len(live):
        return
    x[_LIVE : _LIVE + _TYPES - 1] = np.log1p(np.bincount(live["type"], minlength=_TYPES)[1:])
    touched = live["item"][live["item"] != 0]
    distinct = len(set(touched.tolist()))
    categories = live["category"][live["category"] != 0]
    mix: dict[int, int] = {}
    for category in categories.tolist():
        mix[category] = mix.get(category, 0) + 1
    x[_AT["live_events"]] = np.log1p(len(live))
    x[_AT["live_items"]] = np.log1p(distinct)
    x[_AT["live_categories"]] = np.log1p(len(mix))
    if mix:
        x[_AT["live_top_category"]] = max(mix.values()) / len(categories)
        x[_AT["live_category_entropy"]] = entropy(np.array(list(mix.values())), len(categories))
    if len(touched):
        x[_AT["live_repeat_share"]] = 1.0 - distinct / len(touched)
    prices = live["log_price"]
    prices = prices[prices == prices]
    if len(prices):
        x[_AT["live_price"]] = prices.sum(dtype=np.float64) / len(prices)


def _session(x: np.ndarray, state: UserState, instant: int) -> None:
    history = state.history
    x[_AT["since_last"]] = np.log1p(max(0.0, (instant - state.last_seen) / MICROSECONDS))
    x[_AT["since_first"]] = np.log1p(max(0.0, (instant - state.first_seen) / MICROSECONDS))
    x[_AT["history_fill"]] = min(1.0, len(history) / HISTORY_LENGTH)
    if not len(history):
        return
    session = history["session"][-1]
    if session == 0:
        return
    same = np.flatnonzero(history["session"] == session)
    x[_AT["session_events"]] = np.log1p(len(same))
    times = history["time"]
    x[_AT["session_seconds"]] = np.log1p((times[same[-1]] - times[same[0]]) / MICROSECONDS)


def _moments(x: np.ndarray, sums: np.ndarray, *, mean: str, spread: str, known: str) -> None:
    weight, total, squares = sums.tolist()
    if weight <= 1e-12:
        return
    average = total / weight
    x[_AT[mean]] = average
    x[_AT[spread]] = max(0.0, squares / weight - average * average) ** 0.5
    x[_AT[known]] = 1.0


def _affinity(x: np.ndarray, state: UserState) -> None:
    # Shares do not change with time: all buckets decay alike, so last_seen will do as well as now.
    affinity = state.affinity
    if not len(affinity):
        return
    x[_AT["category_count"]] = np.log1p(len(affinity))
    brands = int(np.searchsorted(state.affinity_keys, BUCKETS))
    categories = affinity[:brands]
    total = categories.sum() if brands else 0.0
    if total > 1e-12:
        x[_AT["category_top"]] = categories.max() / total
        x[_AT["category_entropy"]] = entropy(categories[categories > 1e-12 * total], total)
    if brands < len(affinity):
        strengths = affinity[brands:]
        total = strengths.sum()
        if total > 1e-12:
            x[_AT["brand_top"]] = strengths.max() / total


def _demographics(x: np.ndarray, demographics: Demographics) -> None:
    if demographics.age == demographics.age:
        x[_AT["age"]] = demographics.age / 50.0
        x[_AT["has_age"]] = 1.0
    gender = demographics.gender[:1].lower()
    x[_AT["gender_f"]] = gender == "f"
    x[_AT["gender_m"]] = gender == "m"
