"""A portrait says what happened, in whatever order it was heard of, and how sure it is."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailorbird.catalog.catalog import Catalog
from tailorbird.features.demographics import Demographics
from tailorbird.features.history.facts import BUCKETS, bucket
from tailorbird.features.portrait.names import CatalogNames
from tailorbird.features.portrait.portrait import MOST_EVENTS, portrait_of
from tailorbird.features.profile.folding import fold
from tailorbird.features.profile.state import UserState
from tailorbird.features.table import USER_FEATURES
from tailorbird.features.vectors.user import user_vector
from tests.features.toy import CATALOG, FACTS, NOON, event

NAMES = CatalogNames.of(CATALOG)
HOUR = 3_600.0
LATELY = [
    event("m1", "view", "drill", NOON - 40 * 24 * HOUR),
    event("m2", "purchase", "drill", NOON - 5 * HOUR, value=90.0),
    event("m3", "view", "kettle", NOON - 0.5 * HOUR),
    event("m4", "view", "kettle", NOON - 60),
    event("m5", "add_to_cart", "teapot", NOON - 50),
    event("m6", "hide", "saw", NOON - 40),
    event("m7", "search", None, NOON - 30),
    event("m8", "purchase", "teapot", NOON - 20, value=20.0),
    event("m9", "view", "nobody-knows", NOON - 10),
    event("m10", "impression", "novel", NOON - 5),
]


def drawn(events, *, now=NOON, length=128, **rest):
    return portrait_of(
        fold(UserState.empty("user:ann"), events, FACTS, length=length), NAMES, now=now, **rest
    )


def test_windows_count_what_happened_in_them() -> None:
    windows = drawn(LATELY).windows
    assert {name: (window.events, window.items, window.spent) for name, window in windows.items()} == {
        "15m": (6, 4, 20.0),
        "1h": (7, 4, 20.0),
        "24h": (8, 5, 110.0),
        "30d": (8, 5, 110.0),
    }
    assert windows["15m"].types == {"view": 2, "add_to_cart": 1, "hide": 1, "search": 1, "purchase": 1}
    assert all(window.complete for window in windows.values())


def test_an_event_of_the_future_is_in_no_window_and_one_at_the_edge_in_one() -> None:
    early = drawn([event("a", "view", "kettle", NOON + 1), event("b", "view", "kettle", NOON - 900)])
    assert (early.windows["15m"].events, early.windows["1h"].events) == (0, 1)
    assert drawn([event("a", "view", "kettle", NOON)]).windows["15m"].events == 1


def test_a_window_whose_events_were_let_go_of_says_at_least() -> None:
    many = [event(f"m{n}", "view", "kettle", NOON - 20 + n) for n in range(20)]
    portrait = drawn(many, length=8)
    assert portrait.windows["15m"].events == 8
    assert not portrait.windows["15m"].complete
    assert drawn(many, now=NOON + 895, length=8).windows["15m"].complete  # those that went are past by now


def test_tastes_prices_and_the_last_events_bear_names() -> None:
    portrait = drawn(LATELY, demographics=Demographics(age=34.0, gender="f"))
    assert {taste.name for taste in portrait.categories} <= {"home", "kitchen", "tools", "books"}
    assert portrait.categories[0].name in ("home", "kitchen")
    assert sum(taste.share for taste in portrait.categories) == pytest.approx(1.0, abs=1e-3)
    assert portrait.brands[0].name == "brew"
    assert portrait.price is not None
    assert portrait.price[0] < 30 < portrait.price[1]
    assert [(each.type, each.item_id) for each in portrait.last_events[:3]] == [
        ("view", None),
        ("purchase", "teapot"),
        ("search", None),
    ]
    assert portrait.last_events[1].value == 20.0
    assert portrait.hidden == ["saw"]
    assert portrait.demographics.age == 34.0
    assert (portrait.events, portrait.last_seen, portrait.first_seen) == (10, NOON - 5, NOON - 40 * 24 * HOUR)


def test_who_has_done_nothing_has_an_empty_portrait() -> None:
    portrait = drawn([])
    assert (portrait.events, portrait.last_seen, portrait.first_seen, portrait.price) == (0, None, None, None)
    assert (portrait.categories, portrait.brands, portrait.last_events, portrait.hidden) == ([], [], [], [])
    assert all(window.events == 0 and window.complete for window in portrait.windows.values())


def test_features_are_those_that_models_are_given() -> None:
    state = fold(UserState.empty("user:ann"), LATELY, FACTS)
    assert list(drawn(LATELY).features) == list(USER_FEATURES)
    np.testing.assert_array_equal(
        np.array(list(drawn(LATELY).features.values()), np.float32), user_vector(state, now=NOON)
    )


@given(st.permutations(LATELY), st.integers(1, 9))
def test_late_doubled_and_disordered_events_give_the_same_portrait(order, cut) -> None:
    state = fold(UserState.empty("user:ann"), order[:cut], FACTS)
    state = fold(fold(state, order[:cut] + order[cut:], FACTS), order[::-1], FACTS)
    found, expected = portrait_of(state, NAMES, now=NOON), drawn(LATELY)
    assert (found.windows, found.last_events, found.hidden) == (
        expected.windows,
        expected.last_events,
        expected.hidden,
    )
    assert [each.name for each in found.brands] == [each.name for each in expected.brands]
    for one, other in zip(found.categories, expected.categories, strict=True):
        assert one.share == pytest.approx(other.share, abs=1e-3)


def test_no_more_events_are_shown_than_one_reads() -> None:
    assert (
        len(drawn([event(f"m{n}", "view", "kettle", NOON - n) for n in range(99)]).last_events) == MOST_EVENTS
    )


def test_categories_that_share_a_bucket_are_told_by_both_names(monkeypatch: pytest.MonkeyPatch) -> None:
    rival = next(name for n in range(1_000_000) if bucket(name := f"c{n}") == bucket("tools"))
    catalog = Catalog.from_frame(
        pd.DataFrame({"item_id": ["a", "b"], "categories": [["tools"], [rival]], "brand": ["tools", ""]})
    )
    names = CatalogNames.of(catalog)
    assert names.of_buckets == {bucket("tools"): f"{rival} or tools", BUCKETS + bucket("tools"): "tools"}
