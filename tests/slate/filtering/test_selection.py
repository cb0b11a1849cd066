"""Columns answer as one item at a time would, before and after changes, for rows as for the catalogue."""

import json
import threading
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailorbird.catalog.catalog import Catalog
from tailorbird.slate.filtering.columns import MOST_ATTRIBUTES, ItemColumns
from tailorbird.slate.filtering.parser import parse_filter
from tailorbird.slate.filtering.selection import Selection, Selections
from tailorbird.slate.filtering.terms import Among, Compare, Either, Every, FilterError, Has, Not, Term
from tests.slate.filtering.naive import fulfils

NOW = 1_000_000.0
TEXTS = ("a", "b", "cup", "ä")
NUMBERS = (-1.0, 0.0, 1.0, 2.5, 30.0)
SCALARS = st.one_of(st.sampled_from(TEXTS), st.sampled_from(NUMBERS), st.booleans())
VALUES = st.one_of(st.none(), SCALARS, st.lists(SCALARS, max_size=3))
ITEMS = st.fixed_dictionaries(
    {
        "categories": st.lists(st.sampled_from(TEXTS), max_size=3),
        "brand": st.sampled_from(("", *TEXTS)),
        "price": st.one_of(st.none(), st.sampled_from(NUMBERS)),
        "stock": st.one_of(st.none(), st.sampled_from(NUMBERS)),
        "launched_at": st.one_of(st.none(), st.sampled_from((0.0, NOW - 86_400.0, NOW + 1.0))),
        "attributes": st.fixed_dictionaries({"size": VALUES, "gift": VALUES}),
    }
)
EVERYTHING = {
    "categories": ["a", "b"], "brand": "a", "price": 1.0, "stock": 1.0, "launched_at": 0.0,
    "attributes": {"size": ["a", 1.0, True], "gift": ["a", 1.0, True]},
}  # fmt: skip
"""An item that has a value of every kind, so that no comparison is refused."""


def names_of(kind: str) -> st.SearchStrategy[str]:
    numbers = ("price", "stock", "launched_at", "age_days")
    return st.sampled_from((*(("category", "brand") if kind == "text" else numbers), "size", "gift"))


def leaves(kind: str, values: st.SearchStrategy[Any], signs: tuple[str, ...]) -> st.SearchStrategy[Term]:
    return st.one_of(
        st.builds(Compare, names_of(kind), st.sampled_from(signs), values),
        st.builds(Among, names_of(kind), st.lists(values, min_size=1, max_size=3).map(tuple)),
        st.builds(Has, names_of(kind)),
    )


LEAVES = st.one_of(
    leaves("text", st.sampled_from(TEXTS), ("=", "<", "<=", ">", ">=")),
    leaves("number", st.sampled_from(NUMBERS), ("=", "<", "<=", ">", ">=")),
    st.builds(Compare, st.sampled_from(("size", "gift")), st.just("="), st.booleans()),
)
TERMS = st.recursive(
    LEAVES,
    lambda terms: st.one_of(
        st.builds(Not, terms),
        st.builds(Every, st.lists(terms, min_size=1, max_size=3).map(tuple)),
        st.builds(Either, st.lists(terms, min_size=1, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)


def catalog_of(items: list[dict[str, Any]]) -> Catalog:
    frame = pd.DataFrame(items, columns=list(EVERYTHING))
    frame["item_id"] = [f"i{row}" for row in range(len(items))]
    frame["attributes"] = [json.dumps(item["attributes"]) for item in items]
    return Catalog.from_frame(frame)


@settings(max_examples=80, deadline=None)
@given(st.lists(ITEMS, max_size=8), TERMS)
def test_columns_answer_as_one_item_at_a_time_would(items: list[dict[str, Any]], term: Term) -> None:
    items = [EVERYTHING, *items]
    selection = Selection(term, ItemColumns.of(catalog_of(items)))
    expected = [fulfils(item, term, now=NOW) for item in items]
    assert selection.bitmap(now=NOW).tolist() == expected
    some = np.arange(len(items))[::-2]
    assert selection.keeps(some, now=NOW).tolist() == [expected[row] for row in some]
    assert selection.rows(now=NOW).tolist() == [row for row, kept in enumerate(expected) if kept]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(ITEMS, min_size=1, max_size=6), st.lists(st.tuples(st.integers(0, 9), ITEMS), max_size=6), TERMS
)
def test_a_kept_bitmap_follows_changes(
    items: list[dict[str, Any]], changes: list[tuple[int, dict[str, Any]]], term: Term
) -> None:
    items = [EVERYTHING, *items]
    columns = ItemColumns.of(catalog_of(items))
    selection = Selection(term, columns)
    for place, item in changes:
        selection.bitmap(now=NOW)
        row = min(place, len(items))  # past the end: a new item
        columns.change([(row, item)])
        items[row:] = [item, *items[row + 1 :]]
        expected = [fulfils(each, term, now=NOW) for each in items]
        assert selection.bitmap(now=NOW).tolist() == expected
        assert selection.keeps(np.arange(len(items)), now=NOW).tolist() == expected


def test_what_is_not_said_stays_and_attributes_are_said_one_by_one() -> None:
    columns = ItemColumns.of(catalog_of([EVERYTHING | {"attributes": {"size": 5, "gift": True}}]))
    columns.change([(0, {"price": None, "attributes": {"size": "large"}})])
    kept = {
        text: Selection(parse_filter(text), columns).bitmap(now=NOW).tolist() == [True]
        for text in ("has price", 'size = "large"', "size = 5", "gift = true", 'brand = "a"')
    }
    assert kept == {"has price": False, 'size = "large"': True, "size = 5": False, "gift = true": True, 'brand = "a"': True}  # fmt: skip


def test_the_clock_moves_what_depends_on_it() -> None:
    selection = Selection(parse_filter("age_days < 30"), ItemColumns.of(catalog_of([EVERYTHING])))
    assert selection.bitmap(now=86_400.0 * 29).tolist() == [True]
    assert selection.bitmap(now=86_400.0 * 31).tolist() == [False]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prize < 3", "no item has an attribute prize; did you mean price?"),
        (
            "colour = 3 and `zz zz` = 1",
            "colour; there are category, brand, price, stock, launched_at, deleted_at, age_days, ",
        ),
        ('price = "cheap"', 'price holds numbers, "cheap" is a text'),
        ("brand in [1]", "brand holds texts, 1.0 is a number"),
        ("only = true", "only holds numbers, True is a boolean"),
        ("age_days = true", "age_days holds numbers"),
    ],
)
def test_what_no_item_has_is_refused_with_near_names(text: str, says: str) -> None:
    columns = ItemColumns.of(catalog_of([EVERYTHING | {"attributes": {"only": 1}}]))
    with pytest.raises(FilterError) as refused:
        Selections(columns).of(text).require_sound()
    assert says in str(refused.value)


def test_what_no_item_has_fulfils_nothing_where_nobody_asks_whether_it_is_there() -> None:
    selections = Selections(ItemColumns.of(catalog_of([EVERYTHING, EVERYTHING])))
    assert selections.of("colour = 3 or has colour").bitmap(now=NOW).tolist() == [False, False]
    assert selections.of("not colour = 3").keeps(np.array([1]), now=NOW).tolist() == [True]


def test_an_attribute_with_the_name_of_a_column_is_reached_by_its_prefix() -> None:
    columns = ItemColumns.of(catalog_of([EVERYTHING | {"attributes": {"price": "low"}}]))
    assert "attributes.price" in columns.names
    assert Selections(columns).of('attributes.price = "low" and price = 1').bitmap(now=NOW).all()


def test_more_attributes_than_the_bound_are_unknown_to_filters() -> None:
    many = {f"a{number}": number for number in range(MOST_ATTRIBUTES + 10)}
    columns = ItemColumns.of(catalog_of([EVERYTHING | {"attributes": many}]))
    assert len(columns.names) == MOST_ATTRIBUTES + 1  # and age_days
    last = f"a{MOST_ATTRIBUTES + 9}"
    columns.change([(0, {"attributes": {"stock": 1, "later": 2}})])
    out = [
        name
        for name in ("a1", last, f"attributes.{last}", "later", "stock", "who")
        if columns.leaves_out(name)
    ]
    assert out == [last, f"attributes.{last}", "later"]
    with pytest.raises(FilterError, match="and filters do not know it"):
        Selections(columns).of(f"not {last} = 1").require_sound()


def test_an_expression_is_prepared_once_and_the_oldest_makes_room() -> None:
    selections = Selections(ItemColumns.of(catalog_of([EVERYTHING])), capacity=2)
    first = selections.of("price < 2")
    assert selections.of("price  <  2.0") is first
    selections.of("price < 3"), selections.of("price < 4")
    assert selections.of("price < 2") is not first


def test_readers_meet_no_broken_column_while_items_change() -> None:
    columns = ItemColumns.of(catalog_of([EVERYTHING] * 50))
    selections, stop, troubles = Selections(columns), threading.Event(), list[BaseException]()

    def read() -> None:
        while not stop.is_set():
            try:
                found = selections.of('size in ["new", "a"] or brand > "b" or price < 20').bitmap(now=NOW)
                assert len(found) >= 50
            except BaseException as error:
                troubles.append(error)
                return

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(3_000):
        told = {
            "price": float(number),
            "brand": f"b{number}",
            "attributes": {"size": ["new", f"s{number}"], f"x{number}": 1},
        }
        columns.change([(number % 400, told)])
    stop.set()
    reader.join()
    assert troubles == []


def test_true_is_not_one_whoever_asked_first() -> None:
    items = [
        EVERYTHING | {"attributes": {"flag": flag}} for flag in (True, 1, False, 0, [True, "x"], [1, "x"])
    ]
    selections = Selections(ItemColumns.of(catalog_of(items)))
    found = {
        text: selections.of(text).rows(now=NOW).tolist()
        for text in (
            "flag = true",
            "flag = 1",
            "flag in [0]",
            "flag in [false]",
            "flag = 1 and not flag = true",
        )
    }
    assert list(found.values()) == [[0, 4], [1, 5], [3], [2], [1, 5]]


def test_values_that_no_item_has_any_more_are_let_go() -> None:
    columns = ItemColumns.of(catalog_of([EVERYTHING | {"attributes": {"seen": ["a", "b"]}}] * 2))
    selections = Selections(columns)
    kept = ('seen = "a"', 'seen in ["s1200", "s999"]', "not has seen", "seen = true")
    for number in range(5_000):
        columns.change([(0, {"attributes": {"seen": f"s{number}"}})])
        rows = [selections.of(text).keeps(np.arange(2), now=NOW).tolist() for text in kept]
        assert rows == [[False, True], [number in (999, 1_200), False], [False] * 2, [False] * 2]
    seen = columns.attribute("seen")
    assert seen is not None
    assert seen.coded is not None
    assert len(seen.coded) < 1_100
    assert seen.kinds == {"text"}


def test_a_bitmap_knows_of_an_item_that_comes_while_it_is_made() -> None:
    columns = ItemColumns.of(catalog_of([EVERYTHING]))
    selection = Selection(parse_filter("not price < 1"), columns)

    class Growing(ItemColumns):
        """Grows right after it was counted."""

        def __len__(self) -> int:
            count = super().__len__()
            if count == 1:
                self.change([(1, {"price": 5.0})])
            return count

    columns.__class__ = Growing
    selection.bitmap(now=NOW)
    assert selection.bitmap(now=NOW).tolist() == [True, True]
