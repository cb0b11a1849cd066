"""Planted behaviours: what is declared comes through in the events, and the truth tells who behaves how, and when."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from tailorbird.errors import UsageError
from tailorbird.events.validation import validate
from tailorbird.simulator.behaviours import BEHAVIOURS, DRIFTS, NAMES, Behaviour, chances
from tailorbird.simulator.command import simulate
from tailorbird.simulator.goods import DAY
from tailorbird.simulator.sessions import Sessions, observe
from tailorbird.simulator.shop import Shop


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop.make(600, 5, behaviours=True)


@pytest.fixture(scope="module")
def sessions(shop: Shop) -> Sessions:
    return observe(shop, since=shop.truth.start, until=shop.end)


@pytest.mark.parametrize(
    ("size", "seed", "digest"), [(60, 3, "6b3688ab403a7fad"), (150, 8, "7df6fce9de89fdea")]
)
def test_a_shop_without_behaviours_is_the_shop_there_always_was(size: int, seed: int, digest: str) -> None:
    shop = Shop.make(size, seed)
    events = shop.events()
    for column in ("event_time", "received_time"):
        events[column] = events[column].dt.floor("s")
    assert hashlib.sha256(events.to_csv(index=False).encode()).hexdigest()[:16] == digest
    assert shop.dial == {"size": size, "seed": seed, "end": shop.end}
    assert shop.behaviour_names == ()
    with pytest.raises(UsageError, match=r"no planted behaviours.*--behaviours"):
        shop.behaviour_at(["user-00001"], shop.end)


def test_the_same_seed_plants_the_same_and_other_events_than_without() -> None:
    first, again, plain = (
        Shop.make(60, 3, behaviours=True),
        Shop.make(60, 3, behaviours=True),
        Shop.make(60, 3),
    )
    pd.testing.assert_frame_equal(first.events(), again.events())
    users = first.users.users["user_id"].tolist()
    np.testing.assert_array_equal(first.behaviour_at(users, first.end), again.behaviour_at(users, again.end))
    pd.testing.assert_frame_equal(first.users.users, plain.users.users)  # people and goods are the same
    pd.testing.assert_frame_equal(first.catalog.items, plain.catalog.items)
    assert not set(first.events()["message_id"]) & set(plain.events()["message_id"])


def test_events_of_planted_behaviours_are_valid(shop: Shop) -> None:
    events = shop.events()
    validated = validate(
        events, catalog_ids=set(shop.catalog.item_ids), now=shop.end, max_events_per_minute=60
    )
    assert validated.quarantined.empty
    assert 35 <= len(events) / shop.size <= 80
    assert not events.duplicated(["user_id", "event_time"]).any()


def per_behaviour(shop: Shop, sessions: Sessions, hits: np.ndarray, tries: np.ndarray) -> np.ndarray:
    label = shop.truth.conducts.behaviour_at(sessions.user, sessions.began)
    some, all_ = (np.bincount(label, weights=column, minlength=len(NAMES)) for column in (hits, tries))
    return some / all_


@pytest.mark.parametrize(
    ("declared", "hits", "tries"),
    [
        (lambda kind: kind.search, lambda seen: seen.search, lambda seen: np.ones(len(seen))),
        (lambda kind: kind.purchase, lambda seen: seen.purchases, lambda seen: seen.carts),
        (lambda kind: kind.mobile, lambda seen: seen.mobile, lambda seen: np.ones(len(seen))),
        (lambda kind: kind.weekend, lambda seen: seen.weekend, lambda seen: np.ones(len(seen))),
        (lambda kind: kind.referrers[2], lambda seen: seen.referrer == 2, lambda seen: np.ones(len(seen))),
    ],
    ids=["search", "purchase", "mobile", "weekend", "email"],
)
def test_declared_chances_are_the_shares_among_the_events(
    shop: Shop,
    sessions: Sessions,
    declared: Callable[[Behaviour], float],
    hits: Callable[[Sessions], np.ndarray],
    tries: Callable[[Sessions], np.ndarray],
) -> None:
    shares = per_behaviour(shop, sessions, hits(sessions), tries(sessions))
    np.testing.assert_allclose(shares, [declared(kind) for kind in BEHAVIOURS], atol=0.09)


def test_what_depends_on_goods_too_is_ordered_as_declared(shop: Shop, sessions: Sessions) -> None:
    ones = np.ones(len(sessions))

    def extremes(measured: np.ndarray) -> tuple[str, str]:
        return NAMES[int(measured.argmin())], NAMES[int(measured.argmax())]

    carts = per_behaviour(shop, sessions, sessions.carts, sessions.clicks)
    assert extremes(carts)[0] == "looks and leaves"
    assert {NAMES[row] for row in np.argsort(carts)[-2:]} == {
        "browses and abandons carts",
        "converts quickly",
    }
    prices = per_behaviour(shop, sessions, sessions.price, sessions.clicks)
    assert extremes(prices) == ("hunts bargains", "buys luxury")
    looks = per_behaviour(shop, sessions, sessions.looks, ones)
    assert extremes(looks) == ("converts quickly", "looks and leaves")
    again = per_behaviour(shop, sessions, sessions.revisits, sessions.looks + sessions.clicks)
    assert again[NAMES.index("browses and abandons carts")] > 1.3 * again[NAMES.index("buys luxury")]
    night = per_behaviour(shop, sessions, (sessions.hour < 4) | (sessions.hour > 21), ones)
    assert extremes(night)[1] == "returns nightly"
    assert night.max() > 2 * np.sort(night)[-2]


def test_some_people_change_once_and_then_behave_otherwise(shop: Shop, sessions: Sessions) -> None:
    users = shop.users.users["user_id"].tolist()
    first, last = shop.behaviour_at(users, shop.truth.start), shop.behaviour_at(users, shop.end)
    assert abs((first != last).mean() - DRIFTS) < 0.05
    changer = int(np.flatnonzero(first != last)[0])
    change = shop.truth.conducts.changes_at[changer]
    around = shop.behaviour_at([users[changer]] * 2 + ["nobody"], np.array([change - 1, change, change]))
    assert around.tolist() == [first[changer], last[changer], -1]
    assert shop.truth.people.joined_at[changer] - 1 <= change < shop.end
    # Those who turn to the night or from it: their hours tell before from after.
    night = NAMES.index("returns nightly")
    label = shop.truth.conducts.behaviour_at(sessions.user, sessions.began)
    turned = ((first == night) != (last == night))[sessions.user]
    late = (sessions.hour < 5) | (sessions.hour > 20)
    assert late[turned & (label == night)].mean() > late[turned & (label != night)].mean() + 0.3


def test_people_of_one_behaviour_differ(shop: Shop, sessions: Sessions) -> None:
    """The shares of people spread more than chance alone spreads them."""
    counts = np.bincount(sessions.user, minlength=shop.size)
    often = (counts >= 8) & ~np.isfinite(shop.truth.conducts.changes_at)
    searches = np.bincount(sessions.user, weights=sessions.search, minlength=shop.size)[often]
    counts, label = counts[often], shop.truth.conducts.behaviours[often, 0]
    expected = np.array([kind.search for kind in BEHAVIOURS])[label]
    squared = (searches - counts * expected) ** 2 / (counts * expected * (1 - expected))
    assert squared.mean() > 1.2


def test_age_and_gender_tell_something_of_the_behaviour_but_not_much() -> None:
    ages, genders = np.array([20.0, 70.0, 20.0]), np.array(["female", "female", "other"])
    shares = chances(ages, genders)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    night, letters = NAMES.index("returns nightly"), NAMES.index("comes by newsletter at weekends")
    assert shares[0, night] > 2 * shares[1, night] > 0
    assert shares[1, letters] > 2 * shares[0, letters] > 0
    assert (shares[0] != shares[2]).all()
    assert shares.max() < 0.5


def test_the_truth_of_wants_knows_the_prices_one_is_drawn_to(shop: Shop) -> None:
    users = np.array(shop.users.users["user_id"])
    label = shop.behaviour_at(users.tolist(), shop.end - DAY)
    level = shop.truth.goods.price_level

    def slope(name: str) -> float:
        wants = shop.tastes(users[label == NAMES.index(name)].tolist(), shop.end - DAY)
        on_sale = np.isfinite(wants[0])
        return float(np.polyfit(level[on_sale], wants[:, on_sale].mean(axis=0), 1)[0])

    assert slope("buys luxury") > slope("converts quickly") + 0.5 > slope("hunts bargains") + 1.0


def test_a_folder_remembers_that_behaviours_are_planted(tmp_path: Path) -> None:
    def invoke(*more: str) -> str:
        arguments = ["--size", "30", "--end", "2026-01-01", "--out", str(tmp_path), *more]
        result = CliRunner().invoke(simulate, arguments)
        assert result.exit_code == 0, result.output
        return result.stderr

    invoke()
    assert "behaviours" not in json.loads((tmp_path / "shop.json").read_text())
    assert "already there" in invoke("--no-behaviours")
    assert "already there" not in invoke("--behaviours")
    assert json.loads((tmp_path / "shop.json").read_text())["behaviours"] is True
    assert Shop.open(tmp_path).behaviour_names == NAMES
    assert "already there" in invoke("--behaviours")
    assert "already there" not in invoke()
    assert Shop.open(tmp_path).behaviour_names == ()
