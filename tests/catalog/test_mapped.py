"""A mapped catalogue says what the one says that it was written from."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tailorbird.catalog.catalog import Catalog
from tailorbird.catalog.grown import GrownCatalog
from tailorbird.catalog.mapped import MappedCatalog, write_mapped

ITEMS = Catalog.from_frame(
    pd.DataFrame(
        {
            "item_id": ["kettle", "tēa", "", "spoon"],
            "title": ["a kettle", "", "nothing", "a spoon"],
            "text": ["boils", "grüner Tee", "", "stirs"],
            "categories": [["kitchen", "metal"], [], ["x"], ["kitchen"]],
            "brand": ["north", "", "", "south"],
            "price": [20.0, np.nan, 0.5, 3.0],
            "stock": [np.nan, 0.0, 5.0, 1.0],
            "deleted_at": [np.nan, 7.0, np.nan, np.nan],
            "attributes": ['{"size": 3}', "{}", "{}", '{"size": 4}'],
        }
    )
)
MORE = Catalog.from_frame(pd.DataFrame({"item_id": ["cup", "bowl"], "title": ["a cup", ""], "price": [1, 2]}))


@pytest.fixture(params=["one by one", "together"])
def mapped(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> MappedCatalog:
    """Looks rows up in one of its two ways."""
    if request.param == "together":
        monkeypatch.setattr("tailorbird.catalog.mapped.FEW", 0)
    write_mapped(ITEMS, tmp_path / "catalog")
    return MappedCatalog(tmp_path / "catalog")


def says_the_same(one: Catalog, other: Catalog) -> None:
    count = len(other)
    assert len(one) == count
    pd.testing.assert_frame_equal(one.items, other.items)
    pd.testing.assert_frame_equal(
        pd.concat([Catalog.of_ids([]).items, *(part.items for part in one.parts())], ignore_index=True)[
            other.items.columns
        ].astype(other.items.dtypes),
        other.items,
    )
    ids = other.item_ids.tolist()
    assert list(one.item_ids) == ids
    assert one.item_ids[:].tolist() == ids
    asked = [*ids[::-1], "unknown"]
    assert one.rows(asked).tolist() == other.rows(asked).tolist()
    assert dict(one.row_of) == dict(other.row_of)
    assert "unknown" not in one.row_of
    for name in ("price", "stock", "launched_at", "deleted_at"):
        np.testing.assert_array_equal(one.numbers(name), other.numbers(name))
    np.testing.assert_array_equal(one.deleted(8.0), other.deleted(8.0))
    some = np.arange(count)[::-2]
    pd.testing.assert_frame_equal(one.some(some), other.some(some))
    np.testing.assert_array_equal(one.word_keys(some), other.word_keys(some))
    np.testing.assert_array_equal(one.by_key[0], other.by_key[0])
    for row in range(count):
        assert one.item_ids[row] == ids[row]
        assert one.value("title", row) == other.value("title", row)


def test_a_mapped_catalogue_says_the_same(mapped: MappedCatalog) -> None:
    says_the_same(mapped, ITEMS)


def test_so_it_does_when_it_has_grown(mapped: MappedCatalog) -> None:
    once = Catalog(MORE.some(np.array([0])))
    twice = Catalog(MORE.some(np.array([1])))
    grown = GrownCatalog.of(GrownCatalog.of(mapped, once), twice)
    says_the_same(grown, Catalog(pd.concat([ITEMS.items, MORE.items], ignore_index=True)))
    assert len(mapped) == len(ITEMS)
    assert "cup" not in mapped.row_of


def test_a_catalogue_without_items_is_mapped_too(tmp_path: Path) -> None:
    write_mapped(Catalog.of_ids([]), tmp_path)
    empty = MappedCatalog(tmp_path)
    assert len(empty) == 0
    assert not len(empty.items)
    assert empty.rows(["kettle"]).tolist() == [-1]
    assert not list(empty.item_ids)


@pytest.mark.parametrize(
    ("column", "value"), [("title", "b"), ("text", "b"), ("brand", "b"), ("categories", ["kitchen", "b"])]
)
def test_a_key_of_words_is_another_where_a_word_is(column: str, value: object) -> None:
    before = pd.DataFrame({"item_id": ["i"], "title": ["a"], "text": ["a"], "brand": ["a"]})
    before["categories"] = [["kitchen", "a"]]
    after = before.copy()
    after[column] = [value]
    one, other = (Catalog.from_frame(frame).word_keys(np.array([0])) for frame in (before, after))
    assert one != other
    assert one == Catalog.from_frame(before.assign(price=3.0)).word_keys(np.array([0]))
