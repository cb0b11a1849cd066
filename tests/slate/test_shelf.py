"""A filter allows what its rules say, whatever names a caller sends."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailorbird.catalog.catalog import Catalog
from tailorbird.catalog.grown import GrownCatalog
from tailorbird.catalog.keys import stable_keys
from tailorbird.slate.filtering.parser import parse_filter
from tailorbird.slate.query import Rules
from tailorbird.slate.shelf import Shelf

NAMES = st.sampled_from(["tea", "cups", "pots", "", "nobody's"])
ITEMS = st.lists(st.tuples(st.lists(NAMES, max_size=3), st.none() | NAMES), max_size=12)


ASKED = st.lists(NAMES.filter(bool), max_size=4)


@given(ITEMS, ASKED, ASKED)
def test_a_filter_allows_exactly_the_items_that_carry_one_of_its_names(items, categories, brands):
    frame = pd.DataFrame(
        {
            "item_id": [f"i{n}" for n in range(len(items))],
            "categories": pd.Series([list(names) for names, _ in items], dtype=object),
            "brand": pd.Series([brand for _, brand in items], dtype=object),
        }
    )
    catalog = Catalog.from_frame(frame) if items else Catalog.of_ids([])
    held = catalog.items
    expected = [
        (not categories or any(name in names for name in categories)) and (not brands or brand in brands)
        for names, brand in zip(held["categories"], held["brand"], strict=True)
    ]
    rules = Rules(tuple(categories), tuple(brands))
    allowed = ~Shelf.of(catalog).breaking(rules.term, now=0.0).mask
    assert np.array_equal(allowed, np.array(expected, bool))


SHOP = Catalog.from_frame(
    pd.DataFrame({"item_id": ["cup", "lamp"], "stock": [1.0, 2.0], "price": [5.0, 20.0], "brand": ["a", "b"]})
)


def blocked(shelf: Shelf, *, now: float = 1_000.0) -> dict[str, list[str]]:
    blocks = {
        "sold out": shelf.sold_out_at(now),
        "unlaunched": shelf.unlaunched_at(now),
        "deleted": shelf.deleted_at(now),
        "dear": shelf.breaking(parse_filter("price < 10 and color != 'red'"), now=now),
    }
    return {name: shelf.catalog.item_ids[block.mask].tolist() for name, block in blocks.items()}


def test_a_live_shelf_shows_what_it_was_told() -> None:
    shelf = Shelf.of(SHOP).restocked(SHOP)
    assert blocked(shelf) == {"sold out": [], "unlaunched": [], "deleted": [], "dear": ["cup", "lamp"]}
    shelf.tell({"cup": {"stock": 0.0, "attributes": {"color": "blue"}}, "nobody's": {"stock": 0.0}})
    shelf.tell({"lamp": {"deleted_at": 900.0, "price": 1.0, "launched_at": 2_000.0}})
    assert blocked(shelf) == {
        "sold out": ["cup"],
        "unlaunched": ["lamp"],
        "deleted": ["lamp"],
        "dear": ["lamp"],
    }
    shelf.tell({"lamp": {"deleted_at": None, "launched_at": None}, "cup": {"stock": None}})
    assert blocked(shelf) == {"sold out": [], "unlaunched": [], "deleted": [], "dear": ["lamp"]}


def test_instants_that_pass_change_what_is_shown() -> None:
    shelf = Shelf.of(SHOP).restocked(SHOP)
    shelf.tell({"cup": {"launched_at": 2_000.0}, "lamp": {"deleted_at": 3_000.0}})
    found = [blocked(shelf, now=now) for now in (1_999.0, 2_000.0, 3_000.0)]
    assert [(each["unlaunched"], each["deleted"]) for each in found] == [
        (["cup"], []),
        ([], []),
        ([], ["lamp"]),
    ]


def test_an_item_that_left_the_catalogue_is_out_of_stock() -> None:
    shelf = Shelf.of(SHOP).restocked(Catalog.from_frame(SHOP.items.iloc[1:]))
    assert blocked(shelf)["sold out"] == ["cup"]


def test_the_past_knows_no_stock_that_never_changed() -> None:
    shelf = Shelf.of_past(SHOP, current=Catalog.from_frame(SHOP.items.assign(stock=0.0)))
    assert len(shelf.sold_out_at(1_000.0)) == 0


def test_a_shelf_with_more_items_leaves_the_one_of_before_as_it_was() -> None:
    old = Shelf.of(SHOP).restocked(SHOP)
    count = len(old)
    more = Catalog.from_frame(
        pd.DataFrame({"item_id": ["jar"], "stock": [0.0], "brand": ["north"], "categories": [["cups"]]})
    )
    new = old.grown(GrownCatalog.of(SHOP, more))
    assert (len(old), len(new)) == (count, count + 1)
    for shelf in (old, new):
        assert len(shelf.sold_out_at(0.0).mask) == len(shelf)
        assert len(shelf.breaking(parse_filter('brand = "north"'), now=0.0).mask) == len(shelf)
        assert len(shelf.blocked([shelf.sold_out_at(0.0)])) == len(shelf)
    assert new.sold_out_at(0.0).mask[-1]
    assert not new.breaking(parse_filter('brand = "north"'), now=0.0).mask[-1]
    assert new.rows_of_keys(stable_keys(["jar"])).tolist() == [count]
    assert old.rows_of_keys(stable_keys(["jar"])).tolist() == [-1]


def test_who_looks_while_a_batch_is_taken_over_leaves_nothing_stale() -> None:
    shelf = Shelf.of(SHOP).restocked(SHOP)
    blocked(shelf)
    told = {"stock": 0.0, "deleted_at": 10.0, "launched_at": 2_000.0, "price": 1.0}

    def batch() -> Iterator[tuple[int, dict[str, float]]]:
        yield 0, told
        blocked(shelf)
        yield 1, {**told, "deleted_at": 20.0}

    assert shelf.columns is not None
    shelf.columns.change(batch())
    both = ["cup", "lamp"]
    assert blocked(shelf) == {"sold out": both, "unlaunched": both, "deleted": both, "dear": both}


def test_what_was_taken_over_of_a_batch_that_broke_off_is_seen() -> None:
    shelf = Shelf.of(SHOP).restocked(SHOP)

    def batch() -> Iterator[tuple[int, dict[str, float]]]:
        yield 0, {"stock": 0.0}
        blocked(shelf)
        yield 1, {"stock": 0.0}
        raise MemoryError

    assert shelf.columns is not None
    with pytest.raises(MemoryError):
        shelf.columns.change(batch())
    assert blocked(shelf)["sold out"] == ["cup", "lamp"]
