"""User, context, item and cross features: known answers in the toy shop."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tailorbird.catalog.catalog import Catalog, Users
from tailorbird.features.demographics import Demographics, demographics_of
from tailorbird.features.history.context import context_vector
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.history.records import behaviour, records_of, records_of_frame
from tailorbird.features.items.counters import ItemCounters
from tailorbird.features.items.items import ItemTable, StaticItems
from tailorbird.features.profile.folding import fold
from tailorbird.features.profile.replay import ReplayProfiles
from tailorbird.features.profile.source import RowsOfKeys, histories_of
from tailorbird.features.profile.state import UserState
from tailorbird.features.table import (
    CONTEXT_FEATURES,
    CROSS_FEATURES,
    FEATURES,
    ITEM_FEATURES,
    STORED_ITEM,
    USER_FEATURES,
)
from tailorbird.features.vectors.cross import cross_matrix
from tailorbird.features.vectors.item import item_matrix
from tailorbird.features.vectors.user import user_vector
from tests.features.toy import CATALOG, DAY, FACTS, NOON, event, frame, item_table, random_shop

ANN = UserState.empty("ann")
ROWS = CATALOG.row_of


def user(state: UserState, now: float, **rest: object) -> dict[str, float]:
    return dict(zip(USER_FEATURES, user_vector(state, now=now, **rest).tolist(), strict=True))


def items(table: ItemTable, now: float) -> dict[str, dict[str, float]]:
    matrix = item_matrix(table, now=now)
    return {name: dict(zip(ITEM_FEATURES, matrix[row].tolist(), strict=True)) for name, row in ROWS.items()}


def cross(state: UserState, now: float, table: ItemTable | None = None) -> dict[str, dict[str, float]]:
    table = table or item_table(CATALOG, frame([]), now)
    matrix = cross_matrix(state, table, np.arange(len(CATALOG)), now=now)
    return {name: dict(zip(CROSS_FEATURES, matrix[row].tolist(), strict=True)) for name, row in ROWS.items()}


def test_names_are_unique_within_an_entity() -> None:
    for stored in (True, False):
        named = [(feature.entity, feature.name) for feature in FEATURES if feature.stored == stored]
        assert len(named) == len(set(named))


def test_somebody_new_has_only_demographics() -> None:
    x = user(ANN, NOON, demographics=Demographics(age=25.0, gender="Female"))
    assert {name: value for name, value in x.items() if value} == {
        "age": 0.5,
        "has_age": 1.0,
        "gender_f": 1.0,
    }


def test_the_live_window_is_fifteen_minutes_and_empties_by_itself() -> None:
    state = fold(
        ANN,
        [
            event("1", "view", "kettle", NOON - 900),
            event("2", "view", "kettle", NOON - 899),
            event("3", "click", "kettle", NOON - 10),
            event("4", "search", None, NOON - 5),
            event("5", "view", "drill", NOON + 60),
        ],
        FACTS,
    )
    x = user(state, NOON)
    assert x["live_view"] == pytest.approx(np.log1p(1))  # 900 s ago is out, one minute ahead is not yet in
    assert x["live_click"] == pytest.approx(np.log1p(1))
    assert x["live_search"] == pytest.approx(np.log1p(1))
    assert x["live_events"] == pytest.approx(np.log1p(3))
    assert x["live_items"] == pytest.approx(np.log1p(1))
    assert x["live_repeat_share"] == pytest.approx(0.5)
    assert x["live_top_category"] == 1.0
    assert x["live_price"] == pytest.approx(np.log1p(30.0), rel=1e-6)
    later = user(state, NOON + 3600)
    assert not any(value for name, value in later.items() if name.startswith("live_"))


def test_category_mix_of_the_window_is_an_even_split() -> None:
    state = fold(ANN, [event("1", "view", "kettle", NOON - 2), event("2", "view", "saw", NOON - 1)], FACTS)
    x = user(state, NOON)
    assert x["live_category_entropy"] == pytest.approx(np.log(2), rel=1e-6)
    assert x["live_categories"] == pytest.approx(np.log1p(2))


def test_counters_decay_while_nobody_sends_anything() -> None:
    state = fold(ANN, [event("1", "click", "kettle", NOON)], FACTS)
    assert user(state, NOON)["click_day"] == pytest.approx(np.log1p(1.0))
    assert user(state, NOON + DAY)["click_day"] == pytest.approx(np.log1p(0.5))
    assert user(state, NOON + DAY)["click_ever"] == pytest.approx(np.log1p(1.0))


def test_the_session_is_the_latest_one() -> None:
    events = [
        event("1", "view", "kettle", NOON - 500, session_id="old"),
        event("2", "view", "kettle", NOON - 60, session_id="new"),
        event("3", "view", "saw", NOON - 20, session_id="new"),
    ]
    x = user(fold(ANN, events, FACTS), NOON)
    assert x["session_events"] == pytest.approx(np.log1p(2))
    assert x["session_seconds"] == pytest.approx(np.log1p(40.0), rel=1e-6)


def test_context_reads_the_clock_and_the_device() -> None:
    monday_six = 1_749_448_800.0 + 0  # 2025-06-09 06:00 UTC
    x = dict(
        zip(CONTEXT_FEATURES, context_vector({"device": "Mobile"}, now=monday_six).tolist(), strict=True)
    )
    assert x["hour_sin"] == pytest.approx(1.0)
    assert x["weekday_cos"] == pytest.approx(1.0)
    assert (x["weekend"], x["device_mobile"], x["device_desktop"]) == (0.0, 1.0, 0.0)
    saturday = context_vector(None, now=monday_six + 5 * DAY)
    assert saturday[CONTEXT_FEATURES.index("weekend")] == 1.0


def test_items_count_only_what_happened_strictly_before() -> None:
    events = frame([event("1", "click", "kettle", NOON - DAY), event("2", "click", "kettle", NOON)])
    x = items(item_table(CATALOG, events, NOON), NOON)
    assert x["kettle"]["popularity_day"] == pytest.approx(np.log1p(0.5))
    assert x["kettle"]["popularity_ever"] == pytest.approx(np.log1p(1.0))
    assert x["saw"]["popularity_ever"] == 0.0
    assert x["kettle"]["popularity_ever_rank"] == 1.0


def test_static_item_features() -> None:
    x = items(item_table(CATALOG, frame([]), NOON), NOON)
    assert (x["teapot"]["in_stock"], x["saw"]["in_stock"]) == (0.0, 1.0)
    assert (x["teapot"]["is_new"], x["kettle"]["is_new"]) == (1.0, 0.0)
    assert (x["novel"]["has_price"], x["novel"]["price_rank"]) == (0.0, 0.5)
    assert x["drill"]["price_rank"] == 1.0
    assert x["kettle"]["category_size"] == pytest.approx(np.log1p(2))
    assert x["kettle"]["brand_size"] == pytest.approx(np.log1p(2))
    assert x["saw"]["brand_size"] == 0.0


def test_price_bands_and_content_rows() -> None:
    rows = StaticItems(CATALOG).rows(np.arange(len(CATALOG)))
    stored = {feature.name for feature in STORED_ITEM} - {"item_sums", "item_seen", "item_total"}
    assert all(set(row) - {"item_id"} == stored for row in rows)
    bands = {row["item_id"]: row["price_band"] for row in rows}
    assert (bands["novel"], bands["drill"]) == (-1, 4)
    assert [row["content_row"] for row in rows] == [0, 1, 2, 3, 4]


def test_item_counters_do_not_care_about_order_or_batches() -> None:
    catalog, events = random_shop(users=5, items=8, events=300, days=9, seed=4)
    facts_of = item_table(catalog, frame(events), NOON + 100 * DAY)
    records = records_of_frame(behaviour(frame(events)), ItemFacts.of(catalog))
    records = records.take(records.rows >= 0)
    rng = np.random.default_rng(0)
    counters = ItemCounters.empty(len(catalog))
    for part in np.array_split(rng.permutation(len(records)), 17):
        counters.fold(records.packed[part], records.rows[part])
    np.testing.assert_allclose(counters.sums, facts_of.sums, rtol=1e-9, atol=1e-9)
    assert counters.seen.tolist() == facts_of.seen.tolist()
    assert counters.totals.tolist() == facts_of.totals.tolist()


def test_cross_features_find_what_the_user_likes_now() -> None:
    state = fold(
        ANN,
        [
            event("1", "purchase", "drill", NOON - 30 * DAY),
            event("2", "view", "kettle", NOON - 120),
            event("3", "add_to_cart", "kettle", NOON - 60),
        ],
        FACTS,
    )
    x = cross(state, NOON)
    assert x["teapot"]["live_category_share"] == 1.0
    assert x["saw"]["live_category_share"] == 0.0
    assert x["teapot"]["last_category"] == 1.0
    assert x["drill"]["last_brand"] == 1.0  # acme, like the kettle
    assert x["novel"]["category_unknown"] == 1.0
    # home and kitchen hold 4 each, tools 5 halved by a month: 8 of 10.5
    assert x["teapot"]["category_affinity"] == pytest.approx(8 / 10.5, rel=1e-4)
    assert x["teapot"]["category_affinity_best"] == pytest.approx(4 / 10.5, rel=1e-4)
    assert x["kettle"]["times_seen"] == pytest.approx(np.log1p(2))
    assert x["kettle"]["seen_recency"] == pytest.approx(np.exp(-60 / 3600), rel=1e-5)
    assert (x["kettle"]["seen_live"], x["drill"]["seen_live"]) == (1.0, 0.0)
    assert (x["kettle"]["carted"], x["drill"]["purchased"], x["drill"]["carted"]) == (1.0, 1.0, 0.0)
    assert x["saw"]["price_step"] == pytest.approx(np.log1p(15.0) - np.log1p(30.0), rel=1e-5)
    assert x["novel"]["price_step"] == 0.0


def test_bought_leaves_the_cart_and_hidden_is_known() -> None:
    state = fold(
        ANN,
        [
            event("1", "add_to_cart", "saw", NOON - 9),
            event("2", "purchase", "saw", NOON - 8),
            event("3", "hide", "novel", NOON - 7),
        ],
        FACTS,
    )
    x = cross(state, NOON)
    assert (x["saw"]["carted"], x["saw"]["purchased"], x["novel"]["hidden"]) == (0.0, 1.0, 1.0)


def test_candidates_in_any_order_get_the_same_features() -> None:
    catalog, events = random_shop(users=1, items=40, events=200, days=0.1, seed=2)
    facts = ItemFacts.of(catalog)
    state = fold(UserState.empty("x"), events, facts)
    table = item_table(catalog, frame(events), NOON + DAY)
    order = np.random.default_rng(3).permutation(40)
    straight = cross_matrix(state, table, np.arange(40), now=NOON + 0.1 * DAY)
    mixed = cross_matrix(state, table, order, now=NOON + 0.1 * DAY)
    np.testing.assert_array_equal(mixed, straight[order])
    assert straight.any(axis=0).sum() > 12


def test_everything_is_finite_for_empty_and_strange_inputs() -> None:
    bare = Catalog.of_ids(["a", "b"])
    table = item_table(bare, frame([]), 0.0)
    odd = fold(
        ANN, [event("1", "rating", "a", NOON, value=float("inf")), event("2", "view", None, -5.0)], FACTS
    )
    for state in (ANN, odd):
        for now in (-10.0, 0.0, NOON, NOON + 1e9):
            assert np.isfinite(user_vector(state, now=now)).all()
            assert np.isfinite(cross_matrix(state, table, np.array([0, 1, -1]), now=now)).all()
            assert np.isfinite(item_matrix(table, now=now)).all()
    assert cross_matrix(ANN, table, np.zeros(0, np.int64), now=0.0).shape == (0, len(CROSS_FEATURES))
    nothing = item_table(Catalog.of_ids([]), frame([]), 0.0)
    assert item_matrix(nothing, now=0.0).shape == (0, len(ITEM_FEATURES))


def test_histories_hold_what_speaks_for_an_item_of_the_catalogue() -> None:
    state = fold(
        ANN,
        [
            event("1", "view", "kettle", NOON),
            event("2", "search", None, NOON + 1),
            event("3", "hide", "saw", NOON + 2),
            event("4", "purchase", "gone", NOON + 3),
            event("5", "purchase", "drill", NOON + 4),
        ],
        FACTS,
    )
    histories = histories_of([ANN, state], RowsOfKeys(CATALOG), now=np.array([NOON, NOON + 9]))
    assert histories.lengths.tolist() == [0, 2]
    assert histories.items.tolist() == [ROWS["kettle"], ROWS["drill"]]
    assert histories.weights.tolist() == [1.0, 5.0]
    assert histories.times.tolist() == [NOON, NOON + 4]


def test_a_disliked_item_is_in_the_history_by_presence_only() -> None:
    state = fold(
        ANN,
        [event("1", "rating", "kettle", NOON, value=5.0), event("2", "rating", "saw", NOON + 1, value=1.0)],
        FACTS,
    )
    rows_of, now = RowsOfKeys(CATALOG), np.array([NOON + 9])
    liked = histories_of([state], rows_of, now=now)
    assert (liked.items.tolist(), liked.weights.tolist()) == ([ROWS["kettle"]], [1.5])
    met = histories_of([state], rows_of, now=now, taste="presence")
    assert (met.items.tolist(), met.weights.tolist()) == ([ROWS["kettle"], ROWS["saw"]], [1.0, 1.0])


def test_one_star_does_not_make_an_item_popular() -> None:
    def popularity(value: float) -> float:
        events = frame([event("1", "rating", "kettle", NOON, value=value)])
        return items(item_table(CATALOG, events, NOON + 1), NOON + 1)["kettle"]["popularity_ever"]

    assert popularity(1.0) == popularity(2.0) == 0.0
    assert popularity(3.0) == pytest.approx(np.log1p(0.5))
    assert popularity(5.0) == pytest.approx(np.log1p(1.5))


def test_demographics_are_looked_up_by_user() -> None:
    known = demographics_of(Users.from_frame(pd.DataFrame({"user_id": [1], "age": [40], "gender": ["M"]})))
    assert known == {"user:1": Demographics(age=40.0, gender="M", country="")}


@pytest.mark.parametrize("value", [1e38, 1e39, -1e38])
def test_a_rating_far_off_the_scale_moves_nothing_further_than_its_end(value: float) -> None:
    catalog, events = random_shop(users=4, items=8, events=200, days=9, seed=4)
    facts, now = ItemFacts.of(catalog), NOON + 100 * DAY
    rated = next(n for n, each in enumerate(events) if each.type == "rating" and each.item_id != "gone")

    def features(given: float) -> list[np.ndarray]:
        log = [replace(each, value=given) if n == rated else each for n, each in enumerate(events)]
        ordered = sorted(log, key=lambda each: each.event_time)
        rows = frame(log)
        person = log[rated].user_key
        mine = [each for each in log if each.user_key == person]
        (state,) = ReplayProfiles.of_frame(rows, catalog).states_at([person], np.array([now]))
        live, counters = records_of(ordered, facts), ItemCounters.empty(len(catalog))
        known = live.rows >= 0
        counters.fold(live.packed[known], live.rows[known])
        return [
            live.packed["value"],
            records_of_frame(rows, facts).packed["value"],
            item_matrix(item_table(catalog, rows, now), now=now),
            item_matrix(ItemTable.of(catalog, counters), now=now),
            user_vector(state, now=now),
            user_vector(fold(UserState.empty(person), mine, facts), now=now),
        ]

    far, end = features(value), features(5.0 if value > 0 else 1.0)
    for one, other in zip(far, end, strict=True):
        np.testing.assert_array_equal(one, other)
    for offline, live in zip(far[0::2], far[1::2], strict=True):
        np.testing.assert_allclose(offline, live, rtol=1e-5, atol=1e-5)
