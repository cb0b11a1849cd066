"""The table of items survives the disk, and keeps sums of what something happened to alone."""

import numpy as np

from tailorbird.features.items.items import ItemTable
from tailorbird.features.vectors.item import item_matrix
from tests.features.toy import CATALOG, NOON, event, frame, item_table


def test_item_tables_survive_saving(tmp_path) -> None:
    table = item_table(CATALOG, frame([event("1", "rating", "kettle", NOON, value=4.0)]), NOON + 1)
    table.save(tmp_path / "items")
    again = ItemTable.load(tmp_path / "items")
    assert item_matrix(again, now=NOON + 9).tobytes() == item_matrix(table, now=NOON + 9).tobytes()


def test_item_tables_of_an_older_version_are_read(tmp_path) -> None:
    table = item_table(CATALOG, frame([event("1", "rating", "kettle", NOON, value=4.0)]), NOON + 1)
    table.save(tmp_path)
    for name in ("slots", "held", "ordered_keys", "rows_by_key", "filled_prices"):
        (tmp_path / f"{name}.npy").unlink()
    np.save(tmp_path / "sums.npy", table.sums)  # a row for each item
    again = ItemTable.load(tmp_path)
    np.testing.assert_array_equal(again.sums, table.sums)
    np.testing.assert_array_equal(item_matrix(again, now=NOON + 5), item_matrix(table, now=NOON + 5))


def test_counters_keep_sums_of_what_something_happened_to_alone(tmp_path) -> None:
    table = item_table(CATALOG, frame([event("1", "view", "kettle", NOON)]), NOON + 1)
    table.save(tmp_path)
    assert len(np.load(tmp_path / "held.npy")) == 2  # the zeros of the others, and the kettle's
    assert table.sums.any(axis=1).sum() == 1
