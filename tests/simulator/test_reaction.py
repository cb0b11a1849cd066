import numpy as np
import pytest

from tailorbird.simulator.goods import DAY
from tailorbird.simulator.reaction import click_chances
from tailorbird.simulator.shop import Shop


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop.make(100, 2)


def ranked(shop: Shop, user: str, now: float) -> list[str]:
    """The items on sale, most wanted first."""
    wants = shop.preferences([user], now)[0]
    order = np.argsort(-wants)
    return shop.catalog.item_ids[order[np.isfinite(wants[order])]].tolist()


def count_clicks(shop: Shop, slate: list[str], *, repeats: int = 300) -> int:
    rng = np.random.default_rng(0)
    return sum(
        event.type == "click"
        for _ in range(repeats)
        for event in shop.react("user-00001", slate, shop.end + DAY, rng)
    )


def test_wanted_items_are_clicked_and_unwanted_are_not(shop: Shop) -> None:
    items = ranked(shop, "user-00001", shop.end + DAY)
    assert count_clicks(shop, items[:10]) > 10 * count_clicks(shop, items[-10:])


def test_the_first_position_is_seen_more_than_the_last(shop: Shop) -> None:
    items = ranked(shop, "user-00001", shop.end + DAY)
    best, rest = items[0], items[-9:]
    assert count_clicks(shop, [best, *rest]) > 2 * count_clicks(shop, [*rest, best])


def test_what_follows_a_click_is_about_the_same_item_and_slate(shop: Shop) -> None:
    now, rng = shop.end + DAY, np.random.default_rng(3)
    items = ranked(shop, "user-00002", now)[:10]
    events = [
        event
        for _ in range(100)
        for event in shop.react("user-00002", items, now, rng, recommendation_id="r-1", session_id="s-1")
    ]
    assert {event.type for event in events} == {"click", "add_to_cart", "purchase"}
    assert len({event.message_id for event in events}) == len(events)
    for event in events:
        assert (event.user_id, event.recommendation_id, event.session_id) == ("user-00002", "r-1", "s-1")
        assert items[event.position] == event.item_id
        assert event.event_time > now
    clicked = [event.item_id for event in events if event.type == "click"]
    assert all(event.item_id in clicked for event in events)


def test_the_same_generator_gives_the_same_reaction(shop: Shop) -> None:
    items = ranked(shop, "user-00003", shop.end)[:5]
    first, again = (shop.react("user-00003", items, shop.end, np.random.default_rng(9)) for _ in range(2))
    assert first == again


def test_an_empty_slate_an_unknown_item_and_an_unknown_user_are_no_crash(shop: Shop) -> None:
    rng = np.random.default_rng(1)
    assert shop.react("user-00001", [], shop.end, rng) == []
    assert all(shop.react("user-00001", ["no-such-item"] * 5, shop.end, rng) == [] for _ in range(50))
    assert isinstance(shop.react("nobody", shop.catalog.item_ids[:5].tolist(), shop.end, rng), list)


def test_what_is_not_on_sale_is_never_clicked() -> None:
    wants = np.array([5.0, -np.inf, 1.0], np.float32)
    chances = click_chances(wants, np.array([0, 1, 2, -1]))
    assert chances[0] > chances[2] > 0
    assert chances[1] == chances[3] == 0
    assert click_chances(np.full(3, -np.inf), np.array([0, 1])).tolist() == [0, 0]
