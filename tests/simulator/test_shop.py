import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.events.schema import SCHEMA
from tailorbird.events.validation import validate
from tailorbird.simulator.goods import DAY
from tailorbird.simulator.shop import Shop
from tailorbird.simulator.vocabulary import COMPLEMENTS, SHELVES


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop.make(400, 11)


@pytest.fixture(scope="module")
def events(shop: Shop) -> pd.DataFrame:
    return shop.events()


def test_the_same_dial_gives_the_same_shop_and_another_seed_another() -> None:
    first, again, other = Shop.make(40, 1), Shop.make(40, 1), Shop.make(40, 2)
    pd.testing.assert_frame_equal(first.events(), again.events())
    pd.testing.assert_frame_equal(first.catalog.items, again.catalog.items)
    pd.testing.assert_frame_equal(first.users.users, again.users.users)
    assert first.catalog.items["title"].tolist() != other.catalog.items["title"].tolist()
    assert not set(first.events()["message_id"]) & set(other.events()["message_id"])


def test_events_follow_the_schema_and_pass_validation(shop: Shop, events: pd.DataFrame) -> None:
    assert list(events.columns) == SCHEMA.names
    validated = validate(
        events, catalog_ids=set(shop.catalog.item_ids), now=shop.end, max_events_per_minute=60
    )
    assert validated.quarantined.empty
    assert events["event_time"].is_monotonic_increasing
    assert not events.duplicated(["user_id", "event_time"]).any()
    assert (events["received_time"] >= events["event_time"]).all()
    seconds = events["event_time"].astype("int64") / 1e6
    assert seconds.between(shop.truth.start, shop.end).all()


def test_the_dial_sets_users_events_and_items(shop: Shop, events: pd.DataFrame) -> None:
    assert len(shop.users.users) == 400
    assert 35 <= len(events) / 400 <= 70
    assert len(shop.catalog) == round(1000 * np.sqrt(400 / 2000))
    # Some have told us of themselves and never come: cold users.
    assert 0.02 < 1 - events["user_id"].nunique() / 400 < 0.35


def test_people_look_more_than_they_click_and_click_more_than_they_buy(events: pd.DataFrame) -> None:
    counts = events["type"].value_counts()
    assert counts["view"] > counts["click"] > 3 * counts["add_to_cart"] > 3 * counts["purchase"] > 0
    assert counts["search"] > 0


def test_a_purchase_follows_a_cart_that_follows_a_click(events: pd.DataFrame) -> None:
    touched = events.dropna(subset=["item_id"])
    first = touched.groupby(["user_id", "item_id", "type"])["event_time"].min().unstack()
    bought, carted = first.dropna(subset=["purchase"]), first.dropna(subset=["add_to_cart"])
    assert (bought["add_to_cart"] < bought["purchase"]).all()
    assert (carted["click"] < carted["add_to_cart"]).all()


def test_people_mostly_turn_to_what_they_have_not_met(events: pd.DataFrame) -> None:
    visits = events[events["type"].isin(["view", "click"])]
    assert 0.0 < visits.duplicated(["user_id", "item_id"]).mean() < 0.2


def test_nobody_meets_an_item_before_its_launch_or_after_it_sold_out(
    shop: Shop, events: pd.DataFrame
) -> None:
    started = events.groupby("session_id")["event_time"].transform("min").astype("int64") / 1e6
    rows = shop.catalog.rows(events["item_id"].fillna(""))
    met = rows >= 0
    assert (started[met] >= shop.truth.goods.launched_at[rows[met]]).all()
    assert (started[met] < shop.truth.goods.sold_out_at[rows[met]]).all()
    assert np.isfinite(shop.truth.goods.sold_out_at).any()
    assert (shop.catalog.items["stock"][np.isfinite(shop.truth.goods.sold_out_at)] == 0).all()


def test_cold_items_arrive_at_the_end(shop: Shop, events: pd.DataFrame) -> None:
    new = shop.catalog.items["item_id"][shop.truth.goods.launched_at > shop.end - 2 * DAY]
    assert len(new) >= 3
    counts = events["item_id"].value_counts()
    assert counts.reindex(new, fill_value=0).mean() < 0.1 * counts.mean()


def test_items_have_text_category_brand_and_price(shop: Shop) -> None:
    items = shop.catalog.items
    assert (items["text"].str.len() > 20).all()
    assert (items["price"] > 0).all()
    assert items["brand"].ne("").all()
    assert all(path.startswith(f"{department} > ") for department, path in items["categories"])
    assert all("weight_kg" in json.loads(text) for text in items["attributes"])


def test_every_shelf_has_two_others_that_go_with_it() -> None:
    shelves = {shelf for _, shelf in SHELVES}
    assert set(COMPLEMENTS) == shelves
    assert len(shelves) == len(SHELVES)
    assert all(set(pair) <= shelves - {shelf} and len(set(pair)) == 2 for shelf, pair in COMPLEMENTS.items())


def test_people_have_hours_and_devices(events: pd.DataFrame) -> None:
    hours = events["event_time"].dt.hour.value_counts(normalize=True).reindex(range(24), fill_value=0.0)
    assert hours[19:21].sum() > 4 * hours[2:4].sum()
    devices = (
        events["context"].map(json.loads).map(lambda context: context["device"]).value_counts(normalize=True)
    )
    assert devices.min() > 0.2


def test_tastes_drift(shop: Shop) -> None:
    ids = shop.users.users["user_id"].tolist()
    people, rows = shop.truth.people, np.arange(len(ids))
    before, after = (people.taste_at(rows, np.full(len(ids), part)) for part in (0.0, 1.0))
    alike = (before * after).sum(1) / np.linalg.norm(before, axis=1) / np.linalg.norm(after, axis=1)
    assert 0.5 < alike.mean() < 0.95
    assert (people.taste_at(rows, np.full(len(ids), 7.0)) == after).all()


def clicks(shop: Shop, events: pd.DataFrame, count: int) -> pd.DataFrame:
    """Clicks of the last ten days on items that their user had not met before."""
    touched = events.dropna(subset=["item_id"])
    fresh = touched[~touched.duplicated(["user_id", "item_id"]) & (touched["type"] == "click")]
    late = fresh[fresh["event_time"] >= pd.Timestamp(shop.end - 10 * DAY, unit="s", tz="UTC")]
    return late.sample(count, random_state=0).assign(
        row=lambda frame: shop.catalog.rows(frame["item_id"]),
        now=lambda frame: frame["event_time"].astype("int64") / 1e6,
    )


def ndcg_at_10(scores: np.ndarray, targets: np.ndarray) -> float:
    own = scores[np.arange(len(targets)), targets][:, None]
    ranks = (scores > own).sum(1) + 0.5 * ((scores == own).sum(1) - 1)
    return float(np.where(ranks < 10, 1 / np.log2(ranks + 2), 0.0).mean())


def test_the_oracle_beats_taste_alone_and_both_beat_popularity(shop: Shop, events: pd.DataFrame) -> None:
    cases = clicks(shop, events, 500)
    users, now, targets = cases["user_id"].tolist(), cases["now"].to_numpy(), cases["row"].to_numpy()
    recent = events[events["event_time"] < pd.Timestamp(shop.end - 10 * DAY, unit="s", tz="UTC")].tail(4000)
    counts = np.bincount(shop.catalog.rows(recent["item_id"].dropna()), minlength=len(shop.catalog))
    popularity = ndcg_at_10(np.tile(counts.astype(float), (len(cases), 1)), targets)
    taste = ndcg_at_10(shop.tastes(users, now), targets)
    oracle = ndcg_at_10(shop.preferences(users, now), targets)
    assert oracle > 1.5 * taste > 2.0 * popularity > 0
    assert oracle > 4 * popularity


def test_what_others_clicked_next_tells_more_than_popularity(shop: Shop, events: pd.DataFrame) -> None:
    """The shop is learnable: plain co-occurrence of the older part ranks the newer clicks far above popularity."""
    cases = clicks(shop, events, 500)
    touched = events.dropna(subset=["item_id"]).assign(row=lambda frame: shop.catalog.rows(frame["item_id"]))
    old = touched[touched["event_time"] < pd.Timestamp(shop.end - 10 * DAY, unit="s", tz="UTC")]
    counts = np.bincount(old["row"], minlength=len(shop.catalog)).astype(float)
    together = np.zeros((len(shop.catalog), len(shop.catalog)))
    for _, rows in old.groupby("user_id")["row"]:
        items = rows.to_numpy()[-200:]
        for gap in range(1, min(10, len(items))):
            np.add.at(together, (items[:-gap], items[gap:]), 0.85**gap)
    together /= np.sqrt(counts + 3.0)
    scores = np.zeros((len(cases), len(counts)))
    popularity = np.tile(counts, (len(cases), 1))
    histories = dict(iter(touched.groupby("user_id")))
    for case, (user, instant) in enumerate(zip(cases["user_id"], cases["event_time"], strict=True)):
        history = histories[user]
        seen = history["row"][history["event_time"] < instant].to_numpy()[-30:][::-1]
        scores[case] = (0.85 ** np.arange(len(seen))) @ together[seen]
        scores[case, seen] = popularity[case, seen] = -1.0
    targets = cases["row"].to_numpy()
    assert ndcg_at_10(scores, targets) > 1.5 * ndcg_at_10(popularity, targets)


def test_clicks_are_drawn_from_the_softmax_of_the_truth(shop: Shop) -> None:
    """In sessions without looks, the truth's favourite is clicked as often as the truth says."""
    visits = shop.visits
    looks = visits.action == 0
    looked = set(zip(visits.user[looks].tolist(), visits.session[looks].tolist(), strict=True))
    chosen = [
        index
        for index in np.flatnonzero(visits.action == 1)
        if (int(visits.user[index]), int(visits.session[index])) not in looked
    ]
    assert len(chosen) > 150
    ids = shop.users.users["user_id"].to_numpy()
    chances = softmax(shop.preferences(ids[visits.user[chosen]].tolist(), visits.at[chosen] / 1e6), axis=1)
    favourite = chances.max(1)
    hits = chances.argmax(1) == visits.item[chosen]
    spread = np.sqrt((favourite * (1 - favourite)).sum())
    assert abs(hits.sum() - favourite.sum()) < 4 * spread


def test_preferences_of_one_and_of_many_are_the_same(shop: Shop) -> None:
    users = ["user-00003", "user-00007", "user-00003", "nobody"]
    now = shop.end - DAY * np.array([1.0, 20.0, 40.0, 1.0])
    many = shop.preferences(users, now)
    assert many.shape == (4, len(shop.catalog))
    for row, (user, instant) in enumerate(zip(users, now, strict=True)):
        np.testing.assert_allclose(
            shop.preferences([user], float(instant))[0], many[row], rtol=1e-4, atol=1e-5
        )
    assert shop.preferences([], shop.end).shape == (0, len(shop.catalog))


def test_the_truth_of_a_session_is_known_only_while_it_lasts(shop: Shop) -> None:
    visits = shop.visits
    # A step that begins a session, hours after the one before.
    gaps = np.diff(visits.step_from, prepend=visits.step_from[0])
    step = int(np.flatnonzero((gaps > 6 * 3600e6) & (visits.step_until > visits.step_from))[20])
    user = shop.users.users["user_id"].iloc[visits.step_user[step]]
    inside = (visits.step_from[step] + visits.step_until[step]) / 2e6
    on_shelf = shop.truth.goods.shelf == visits.step_shelf[step]
    lift, on_sale = lift_over_taste(shop, user, inside)
    assert lift[on_sale & on_shelf].mean() > lift[on_sale & ~on_shelf].mean() + 2
    for outside in (visits.step_from[step] / 1e6 - 3600.0, shop.end + DAY):
        lift, on_sale = lift_over_taste(shop, user, outside)
        assert lift[on_sale].max() < 0.01


def lift_over_taste(shop: Shop, user: str, now: float) -> tuple[np.ndarray, np.ndarray]:
    wants, tastes = shop.preferences([user], now)[0], shop.tastes([user], now)[0]
    on_sale = np.isfinite(wants)
    return np.where(on_sale, wants, 0.0) - np.where(on_sale, tastes, 0.0), on_sale


def test_a_shop_is_made_again_from_its_folder(tmp_path: Path) -> None:
    shop = Shop.make(30, 5, end=1.7e9)
    shop.write(tmp_path)
    again = Shop.open(tmp_path)
    pd.testing.assert_frame_equal(again.events(), shop.events())
    np.testing.assert_array_equal(
        again.preferences(["user-00001"], 1.69e9), shop.preferences(["user-00001"], 1.69e9)
    )
    (tmp_path / "shop.json").write_text("{")
    with pytest.raises(TailorbirdError, match=r"no shop in .*simulate"):
        Shop.open(tmp_path)


@pytest.mark.parametrize(("size", "seed"), [(0, 0), (19, 0), (50_001, 0), (-5, 0), (100, -1)])
def test_a_dial_out_of_range_is_refused(size: int, seed: int) -> None:
    with pytest.raises(UsageError):
        Shop.make(size, seed)
