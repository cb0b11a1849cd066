"""Collect knows the items of the catalogue: those of the table, and those told since."""

from pathlib import Path

from serving.collect.known import KnownItems
from tailorbird.catalog.catalog import Catalog
from tailorbird.catalog.log.told import Patch
from tailorbird.catalog.store import CatalogStore


def test_items_are_known_from_the_table_from_patches_and_from_tables_that_replace_it(tmp_path: Path) -> None:
    now = [0.0]
    known = KnownItems(tmp_path, clock=lambda: now[0])
    assert known() == set()
    store = CatalogStore(tmp_path)
    store.put([Patch.of_item("cup", {})], now=1_000.0)
    assert known() == set()  # looked at once a second
    now[0] += 1
    assert known() == {"cup"}
    store.compact(now=1_000.0)
    store.put([Patch.of_item("lamp", {})], now=1_000.0)
    assert KnownItems(tmp_path)() == {"cup", "lamp"}
    Catalog.of_ids(["vase"]).write(tmp_path)
    now[0] += 1
    assert known() == {"vase"}
    store.close()
