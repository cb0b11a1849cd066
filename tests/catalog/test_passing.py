"""Items that pass piece by piece are those of the whole catalogue."""

from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from tailorbird.catalog import passing
from tailorbird.catalog.catalog import Catalog
from tailorbird.catalog.log.told import Patch
from tailorbird.catalog.passing import PassingItems
from tailorbird.catalog.store import CatalogStore


@pytest.mark.parametrize("folded", [False, True])
def test_together_the_parts_are_the_catalogue_with_what_was_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folded: bool
) -> None:
    monkeypatch.setattr(passing, "ROWS_AT_ONCE", 3)
    Catalog.from_frame(
        pd.DataFrame({"item_id": [f"i{n}" for n in range(10)], "price": range(10), "title": "old"})
    ).write(tmp_path)
    with closing(CatalogStore(tmp_path)) as store:
        store.put(
            [
                Patch.of_item("i7", {"title": "new", "categories": ["tea"]}),
                Patch.of_item("i1", {"attributes": {"size": 3}}),
                Patch.of_item("other", {"price": 2.0}),
                Patch.deletion("i2", now=50.0),
            ],
            now=100.0,
        )
        if folded:
            store.compact(now=200.0)
    parts = list(PassingItems(tmp_path).parts())
    assert max(len(part) for part in parts) == 3
    together = pd.concat([part.items for part in parts], ignore_index=True)
    pd.testing.assert_frame_equal(together, Catalog.read(tmp_path).items)


def test_without_a_table_nothing_passes(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(PassingItems(tmp_path).parts())
