"""Facts follow the catalogue: replaced tables at once, patches soon, and a stock that changes not at all."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tailorbird.catalog.catalog import Catalog
from tailorbird.catalog.log.told import Patch
from tailorbird.catalog.store import CatalogStore
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.items import followed
from tailorbird.features.items.followed import FollowedFacts
from tailorbird.features.items.items import StaticItems

FIRST = pd.DataFrame({"item_id": ["cup"], "price": [5.0], "categories": [["home"]]})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CatalogStore]:
    Catalog.from_frame(FIRST).write(tmp_path)
    made = CatalogStore(tmp_path)
    yield made
    made.close()


def price(facts: ItemFacts, item_id: str) -> float:
    return float(np.expm1(facts.log_prices[facts.row_of[item_id]]))


def until(items: FollowedFacts, before: ItemFacts) -> ItemFacts:
    for _ in range(1_000):
        items.look()
        if items.facts is not before:
            return items.facts
        time.sleep(0.01)
    raise AssertionError("the facts never changed")


def test_replaced_tables_are_known_at_once(store: CatalogStore) -> None:
    items = FollowedFacts(store.folder)
    Catalog.from_frame(FIRST.assign(price=7.0)).write(store.folder)
    items.look()
    assert price(items.facts, "cup") == pytest.approx(7.0)


def test_patches_are_known_soon_with_what_held_before(store: CatalogStore) -> None:
    items = FollowedFacts(store.folder)
    before = items.facts
    store.put([Patch.of_item("cup", {"price": 6.0}), Patch.of_item("lamp", {"brand": "Acme"})], now=1_000.0)
    facts = until(items, before)
    assert price(facts, "cup") == pytest.approx(6.0)
    assert "lamp" in facts.row_of
    (held,) = facts.held_at(np.array([0]), np.array([999_000_000]))
    assert float(np.expm1(facts.log_prices[held])) == pytest.approx(5.0)
    assert items.both[1].rows(np.array([1]))[0]["brand"] == "Acme"


def test_a_stock_that_changes_is_nothing_to_read_again(store: CatalogStore) -> None:
    items = FollowedFacts(store.folder)
    before = items.facts
    store.put([Patch.of_item("cup", {"stock": 1.0})], now=1_000.0)
    items.look()
    items.look_and_wait()
    store.compact(now=1_000.0)
    items.look()
    assert items.facts is before


def test_who_waits_gets_what_was_told(store: CatalogStore) -> None:
    items = FollowedFacts(store.folder)
    store.put([Patch.of_item("cup", {"price": 6.0})], now=1_000.0)
    items.look_and_wait()
    assert price(items.facts, "cup") == pytest.approx(6.0)


def test_a_reading_that_began_before_the_tables_were_replaced_changes_nothing_any_more(
    store: CatalogStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    items, begun, go = FollowedFacts(store.folder), threading.Event(), threading.Event()

    def slow(catalog: Catalog) -> StaticItems:
        if threading.current_thread().name == "catalogue-facts":
            begun.set()
            assert go.wait(60)
        return StaticItems(catalog)

    monkeypatch.setattr(followed, "StaticItems", slow)
    store.put([Patch.of_item("cup", {"price": 6.0})], now=1_000.0)
    items.look()
    assert begun.wait(60)
    (reading,) = (each for each in threading.enumerate() if each.name == "catalogue-facts")
    Catalog.from_frame(FIRST.assign(price=7.0)).write(store.folder)
    items.look()
    go.set()
    reading.join()
    assert price(items.facts, "cup") == pytest.approx(7.0)
