"""Laws of the time for which a profile's features may be kept: until then no window moves, and not much earlier."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tailorbird.features.history.context import context_bucket, context_vector
from tailorbird.features.profile.folding import fold
from tailorbird.features.profile.state import UserState
from tailorbird.features.table import DEVICES, LIVE_WINDOW_S, REFERRERS, USER_FEATURES
from tailorbird.features.vectors.cacheable import cacheable_seconds
from tailorbird.features.vectors.user import user_vector
from tests.features.toy import FACTS, NOON, event

LIVE = [place for place, name in enumerate(USER_FEATURES) if name.startswith("live_")]
EVENTS_LIVE = USER_FEATURES.index("live_events")
AGES = st.floats(-2_000, 4_000)
HISTORIES = st.lists(st.tuples(AGES, st.sampled_from(["view", "click", "purchase", "search"])), max_size=12)
STARTS = st.floats(NOON, NOON + 7_200)
ITEMS = ("kettle", "drill", "novel")


def profile(happened: list[tuple[float, str]], now: float) -> UserState:
    events = [
        event(f"m{n}", kind, None if kind == "search" else ITEMS[n % 3], now - age)
        for n, (age, kind) in enumerate(happened)
    ]
    return fold(UserState.empty("user:ann"), events, FACTS)


def live(state: UserState, now: float) -> list[float]:
    return user_vector(state, now=now)[LIVE].tolist()


@given(HISTORIES, STARTS, st.floats(0, 1), st.floats(0, 10_000))
def test_until_then_no_live_feature_and_no_bucket_changes(
    happened: list[tuple[float, str]], now: float, share: float, at_most: float
) -> None:
    state = profile(happened, now)
    seconds = cacheable_seconds(state, now=now, at_most=at_most)
    assert 0 <= seconds <= at_most
    later = now + share * seconds
    assert live(state, later) == live(state, now)
    if later < now + seconds:  # which a share of nearly all is rounded to
        assert context_bucket({}, now=later) == context_bucket({}, now=now)


@given(HISTORIES, STARTS)
def test_it_ends_where_a_window_moves_or_the_hour_does(happened: list[tuple[float, str]], now: float) -> None:
    state = profile(happened, now)
    end = now + cacheable_seconds(state, now=now, at_most=1e9) + 5e-6
    moved = live(state, end) != live(state, now) or _enters_as_another_leaves(state, now=now, end=end)
    assert moved or context_bucket({}, now=end) != context_bucket({}, now=now)


def _enters_as_another_leaves(state: UserState, *, now: float, end: float) -> bool:
    """Whether the windows at both instants hold as many, but not the same, events: equal features by chance."""
    inside = [(end_ - LIVE_WINDOW_S < state.times) & (state.times <= end_) for end_ in (now, end)]
    return bool((inside[0] != inside[1]).any())


def test_the_oldest_event_of_the_window_ends_it() -> None:
    state = profile([(3_000, "view"), (800, "view"), (60, "click")], NOON)
    assert abs(cacheable_seconds(state, now=NOON, at_most=900) - (LIVE_WINDOW_S - 800)) < 1e-4
    assert cacheable_seconds(state, now=NOON, at_most=10) == 10
    assert cacheable_seconds(UserState.empty("user:bob"), now=NOON, at_most=30) == 30
    soon = profile([(-7, "view")], NOON)  # a clock ahead of ours: it enters the window then
    assert abs(cacheable_seconds(soon, now=NOON, at_most=900) - 7) < 1e-4


TEXTS = st.sampled_from(["mobile", "Desktop", "fridge", "", "search", "SOCIAL", "other", 3, None])


@given(st.dictionaries(st.sampled_from(["device", "referrer", "theme"]), TEXTS), STARTS)
def test_contexts_of_one_bucket_have_the_same_features(context: dict[str, object], now: float) -> None:
    setting, hour = map(int, context_bucket(context, now=now).split("/"))
    device, referrer = ("", *DEVICES)[setting % 4], ("", *REFERRERS)[setting // 4]
    known = context_vector({"device": device, "referrer": referrer}, now=now)
    assert np.array_equal(known, context_vector(context, now=now))
    assert hour == int(now // 3600)
