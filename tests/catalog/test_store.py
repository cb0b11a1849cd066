"""Patches are kept for good, in their order, once; tables, history and followers say the same before and after folding."""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tailorbird.catalog.catalog import Catalog, Users
from tailorbird.catalog.files import ITEMS_FILE
from tailorbird.catalog.log.delta import CatalogFollower
from tailorbird.catalog.log.log import LOG_FILE
from tailorbird.catalog.log.told import Patch
from tailorbird.catalog.patches import patched_items, write_patched
from tailorbird.catalog.store import KEPT_SECONDS, CatalogStore

NOON = 1_000_000.0
FIRST = pd.DataFrame(
    {
        "item_id": ["cup", "lamp"],
        "title": ["Cup", "Lamp"],
        "categories": [["home"], ["home", "light"]],
        "price": [5.0, 20.0],
        "stock": [1.0, 2.0],
        "attributes": ['{"color": "red", "size": 3}', "{}"],
    }
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Catalog.from_frame(FIRST).write(tmp_path)
    return tmp_path


@pytest.fixture
def store(folder: Path) -> Iterator[CatalogStore]:
    made = CatalogStore(folder)
    yield made
    made.close()


def told(item_id: str, **values: Any) -> Patch:
    return Patch.of_item(item_id, values)


def item(folder: Path, item_id: str) -> dict[str, Any]:
    items = Catalog.read(folder).items
    return items[items["item_id"] == item_id].iloc[0].to_dict()


def everything(folder: Path) -> tuple[list[Any], list[Any]]:
    catalog = Catalog.read_with_history(folder)
    versions = catalog.history.sort_values(["item_id", "valid_until"])
    return [repr(row) for row in catalog.items.to_numpy().tolist()], [
        repr(row) for row in versions.to_numpy().tolist()
    ]


def test_what_is_not_told_stays_and_none_means_not_known_any_more(store: CatalogStore) -> None:
    store.put(
        [told("cup", price=6.0, attributes={"size": None, "new": True}), told("vase", title="Vase")], now=NOON
    )
    store.put([told("lamp", stock=None, categories=None)], now=NOON + 1)
    cup, lamp, vase = (item(store.folder, name) for name in ("cup", "lamp", "vase"))
    assert (cup["title"], cup["price"], cup["stock"]) == ("Cup", 6.0, 1.0)
    assert cup["attributes"] == '{"color":"red","new":true}'
    assert (np.isnan(lamp["stock"]), lamp["categories"], lamp["price"]) == (True, [], 20.0)
    assert (vase["title"], vase["categories"], np.isnan(vase["price"]), vase["attributes"]) == (
        "Vase",
        [],
        True,
        "{}",
    )
    assert Catalog.read(store.folder).item_ids.tolist() == ["cup", "lamp", "vase"]


def test_a_deleted_item_keeps_its_row_and_comes_back_when_it_is_told_again(store: CatalogStore) -> None:
    store.put([Patch.deletion("cup", now=NOON)], now=NOON)
    gone = Catalog.read(store.folder)
    assert gone.deleted(NOON).tolist() == [0]
    assert gone.deleted(NOON - 1).tolist() == []
    assert gone.item_ids.tolist() == ["cup", "lamp"]
    store.compact(now=NOON)
    assert Catalog.read(store.folder).deleted(NOON).tolist() == [0]
    store.put([told("cup", price=7.0)], now=NOON + 5)
    assert Catalog.read(store.folder).deleted(NOON + 9).tolist() == []
    assert item(store.folder, "cup")["title"] == "Cup"


def test_a_batch_counts_once(store: CatalogStore) -> None:
    first = store.put([told("cup", price=6.0)], now=NOON, batch_id="monday")
    store.put([told("cup", price=8.0)], now=NOON + 1)
    again = store.put([told("cup", price=6.0)], now=NOON + 2, batch_id="monday")
    assert (again.repeated, again.sequence) == (True, first.sequence)
    assert item(store.folder, "cup")["price"] == 8.0


def test_the_same_patch_again_changes_neither_items_nor_history(store: CatalogStore) -> None:
    store.put([told("cup", price=6.0)], now=NOON)
    before = everything(store.folder)
    store.put([told("cup", price=6.0), told("cup", price=6.0, title="Cup")], now=NOON + 1)
    assert everything(store.folder) == before


def test_prices_and_stock_are_those_of_the_instant(store: CatalogStore) -> None:
    for hour, price in enumerate((6.0, 7.0, 7.0, 8.0), start=1):
        store.put([told("cup", price=price)], now=NOON + 3_600 * hour)
        if hour == 2:
            store.compact(now=NOON)
    for look in range(2):
        catalog = Catalog.read_with_history(store.folder)
        prices = [float(catalog.as_of(NOON + 3_600 * hour + 1).items["price"][0]) for hour in range(5)]
        assert prices == [5.0, 6.0, 7.0, 7.0, 8.0], look
        assert len(catalog.history) == 3
        store.compact(now=NOON)


def test_a_clock_that_was_set_back_does_not_reorder_what_was_told(store: CatalogStore) -> None:
    store.put([told("cup", price=6.0)], now=NOON)
    store.put([told("cup", price=7.0)], now=NOON - 5_000)
    assert item(store.folder, "cup")["price"] == 7.0
    assert Catalog.read_with_history(store.folder).as_of(NOON - 1).items["price"][0] == 5.0


def test_ten_thousand_patches_of_one_item_are_one_change_for_a_follower(store: CatalogStore) -> None:
    follower = CatalogFollower(store.folder)
    for part in range(10):
        patches = [told("cup", stock=float(part * 1_000 + number)) for number in range(1_000)]
        store.put(patches, now=NOON + part)
    delta = follower.changes()
    assert delta is not None
    assert delta.items == {"cup": {"deleted_at": None, "stock": 9_999.0}}
    assert follower.changes() is None
    assert item(store.folder, "cup")["stock"] == 9_999.0
    store.compact(now=NOON)
    assert item(store.folder, "cup")["stock"] == 9_999.0
    assert len(Catalog.read_with_history(store.folder).history) == 10_000


def test_patches_of_users_alone_wait_until_a_fold_and_leave_the_table_of_items_alone(
    store: CatalogStore,
) -> None:
    before = (store.folder / ITEMS_FILE).stat()
    store.put([Patch.of_user("ann", {"age": 30.0}), Patch.of_user("bob", {"age": 40.0})], now=NOON)
    assert store.waiting() == 2
    store.compact(now=NOON)
    assert store.waiting() == 0
    assert (store.folder / ITEMS_FILE).stat() == before
    store.put([Patch.of_item("cup", {"price": 6.0})], now=NOON)
    assert store.waiting() == 1
    store.compact(now=NOON)
    assert store.waiting() == 0


def test_a_follower_from_the_table_lacks_no_patches_that_the_log_let_go_of(store: CatalogStore) -> None:
    store.put([Patch.of_user("ann", {"age": 30.0})], now=NOON)
    store.compact(now=NOON + 2 * KEPT_SECONDS)
    follower = CatalogFollower(store.folder, from_table=True)
    assert follower.changes() is None
    store.put([Patch.of_item("cup", {"price": 6.0})], now=NOON)
    delta = follower.changes()
    assert delta is not None
    assert list(delta.items) == ["cup"]
    follower.close()


def test_users_are_told_in_the_same_way(store: CatalogStore) -> None:
    follower = CatalogFollower(store.folder)
    store.put([Patch.of_user("ann", {"age": 30.0, "attributes": {"vip": True}})], now=NOON)
    store.put([Patch.of_user("ann", {"country": "FR"})], now=NOON)
    for _ in range(2):
        (ann,) = Users.read(store.folder).users.to_dict("records")
        assert (ann["age"], ann["country"], ann["gender"], ann["attributes"]) == (
            30.0,
            "FR",
            "",
            '{"vip":true}',
        )
        store.compact(now=NOON)
    delta = follower.changes()
    assert delta is not None
    assert delta.users == {"ann": {"age": 30.0, "attributes": {"vip": True}, "country": "FR"}}
    assert not delta.replaced
    follower.close()


def test_a_follower_hears_each_change_once_and_nothing_of_a_compaction(store: CatalogStore) -> None:
    store.put([told("cup", price=6.0)], now=NOON)
    follower = CatalogFollower(store.folder)
    assert follower.changes() is None
    store.put([told("lamp", price=1.0), Patch.deletion("cup", now=NOON)], now=NOON)
    delta = follower.changes()
    assert delta is not None
    assert (set(delta.items), delta.deleted, delta.replaced) == ({"cup", "lamp"}, {"cup"}, False)
    store.compact(now=NOON + 2 * KEPT_SECONDS)
    assert follower.changes() is None
    store.put([told("lamp", price=2.0)], now=NOON)
    delta = follower.changes()
    assert delta is not None
    assert not delta.replaced
    assert set(delta.items) == {"lamp"}
    follower.close()


def test_a_follower_is_told_to_read_again_where_the_tables_were_replaced_or_it_is_far_behind(
    store: CatalogStore,
) -> None:
    behind, awake = CatalogFollower(store.folder), CatalogFollower(store.folder)
    stored = Catalog.read_stored(store.folder)
    write_patched(stored, patched_items(stored, FIRST.assign(price=3.0)), store.folder, now=NOON)
    delta = awake.changes()
    assert delta is not None
    assert delta.replaced
    assert awake.changes() is None
    store.put([told("cup", price=6.0)], now=NOON)
    assert awake.changes() is not None
    store.compact(now=NOON + 2 * KEPT_SECONDS)
    store.put([told("lamp", price=6.0)], now=NOON)
    late = behind.changes()
    assert late is not None
    assert late.replaced
    awake.close(), behind.close()


def test_a_follower_needs_no_catalogue_to_begin_with(tmp_path: Path) -> None:
    follower = CatalogFollower(tmp_path)
    assert follower.changes() is None
    store = CatalogStore(tmp_path)
    store.put([told("cup", title="Cup", categories=["home"])], now=NOON)
    delta = follower.changes()
    assert delta is not None
    assert delta.items["cup"]["title"] == "Cup"
    assert item(tmp_path, "cup")["categories"] == ["home"]
    store.compact(now=NOON)
    assert item(tmp_path, "cup")["categories"] == ["home"]
    store.close(), follower.close()


def test_files_that_are_read_in_keep_what_was_told_meanwhile(store: CatalogStore) -> None:
    stored = Catalog.read_stored(store.folder)
    store.put([told("cup", price=9.0, stock=4.0)], now=NOON + 10)
    write_patched(stored, patched_items(stored, FIRST.assign(price=3.0, stock=None)), store.folder, now=NOON)
    assert item(store.folder, "cup")["price"] == 9.0
    assert item(store.folder, "lamp")["price"] == 3.0
    store.compact(now=NOON)
    assert (item(store.folder, "cup")["price"], item(store.folder, "cup")["stock"]) == (9.0, 4.0)
    catalog = Catalog.read_with_history(store.folder)
    assert [float(catalog.as_of(NOON + at).items["price"][0]) for at in (-1, 5, 11)] == [5.0, 3.0, 9.0]


def test_files_bring_a_deleted_item_back(store: CatalogStore) -> None:
    store.put([Patch.deletion("cup", now=NOON), Patch.deletion("lamp", now=NOON)], now=NOON)
    store.compact(now=NOON)
    stored = Catalog.read_stored(store.folder)
    write_patched(
        stored, patched_items(stored, pd.DataFrame({"item_id": ["cup"]})), store.folder, now=NOON + 1
    )
    assert Catalog.read(store.folder).deleted(NOON + 2).tolist() == [1]


def test_a_log_that_was_lost_or_put_back_from_a_copy_loses_nothing_told_after(store: CatalogStore) -> None:
    path = store.folder / LOG_FILE
    copy = path.read_bytes()
    store.put([told("cup", price=6.0)], now=NOON)
    store.compact(now=NOON)
    store.close()
    for name in (LOG_FILE, f"{LOG_FILE}-wal", f"{LOG_FILE}-shm"):
        (store.folder / name).unlink(missing_ok=True)
    for content in (copy, None):
        if content is not None:
            path.write_bytes(content)
        again = CatalogStore(store.folder)
        price = 7.0 if content else 8.0
        again.put([told("cup", price=price)], now=NOON + 1)
        assert item(store.folder, "cup")["price"] == price
        again.close()
        path.unlink()


def _put_many(folder: Path, name: str) -> None:
    store = CatalogStore(folder)
    for number in range(24):
        store.put(
            [told("cup", attributes={name: number}), told(f"{name}{number}", price=number)], now=time.time()
        )
        if number % 10 == 7:
            store.compact(now=time.time())
    store.close()


def test_writers_in_two_processes_lose_nothing(folder: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_put_many, args=(folder, name)) for name in ("a", "b")]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    store = CatalogStore(folder)
    for _ in range(2):
        catalog = Catalog.read(folder)
        assert len(catalog) == 2 + 48
        assert item(folder, "cup")["attributes"] == '{"a":23,"b":23,"color":"red","size":3}'
        store.compact(now=NOON)
    assert store.waiting() == 0
    store.close()


def _put_until_killed(folder: Path, acknowledged: Any) -> None:
    store = CatalogStore(folder)
    number = store.log.end()
    while True:
        store.put([told("cup", price=float(number % 7), attributes={"n": number})], now=NOON + number)
        acknowledged.value = number
        number += 1
        if number % 5 == 0:
            store.compact(now=NOON + number + 2 * KEPT_SECONDS)


def test_a_kill_at_any_moment_loses_no_acknowledged_patch_and_no_version(folder: Path) -> None:
    context = multiprocessing.get_context("fork")
    draw = random.Random(7)
    for _ in range(8):
        acknowledged = context.Value("q", -1)
        writer = context.Process(target=_put_until_killed, args=(folder, acknowledged))
        writer.start()
        while acknowledged.value < 0:
            time.sleep(0.001)
        time.sleep(draw.uniform(0.01, 0.12))
        os.kill(writer.pid or 0, signal.SIGKILL)
        writer.join()
        last = int(acknowledged.value)
        catalog = Catalog.read_with_history(folder)
        held = int(item(folder, "cup")["attributes"].split('"n":')[1].split(",")[0])
        assert held in (last, last + 1)
        instants = catalog.history["valid_until"]
        assert instants.is_unique
        for number in range(held):  # each price held from its instant to the next
            assert catalog.as_of(NOON + number + 0.5).items["price"][0] == float(number % 7)


PATCHES = st.lists(
    st.one_of(
        st.builds(
            told,
            st.sampled_from(("cup", "lamp", "new")),
            price=st.sampled_from((1.0, 2.0, None)),
            attributes=st.dictionaries(
                st.sampled_from(("a", "b")), st.sampled_from((1, "x", None)), max_size=2
            ),
        ),
        st.builds(told, st.sampled_from(("cup", "new")), categories=st.sampled_from((["x"], [], None))),
        st.builds(Patch.deletion, st.sampled_from(("cup", "new")), now=st.just(NOON)),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=10, deadline=None)
@example([Patch.deletion("new", now=NOON), told("new", categories=["x"])], [0])
@given(PATCHES, st.lists(st.integers(0, 8), max_size=3))
def test_when_patches_are_folded_makes_no_difference(
    tmp_path_factory: pytest.TempPathFactory, patches: list[Patch], folds: list[int]
) -> None:
    told_apart = []
    for compacts in ((), folds):
        folder = tmp_path_factory.mktemp("folds")
        Catalog.from_frame(FIRST).write(folder)
        store = CatalogStore(folder)
        for number, patch in enumerate(patches):
            store.put([patch], now=NOON + number)
            if number in compacts:
                store.compact(now=NOON)
        told_apart.append(everything(folder))
        store.close()
    assert told_apart[0] == told_apart[1]
