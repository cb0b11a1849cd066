"""Wishes of a request: expressions, the only items, boosts, pins and caps, whatever the model proposes."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tailorbird.slate.filtering.parser import parse_filter
from tailorbird.slate.query import Boost, Pin, Wishes
from tests.slate.toy import BrokenStages, RowStages, query, recommender


def shown(wishes: Wishes, *, k: int = 12, stages: RowStages | None = None, **more: object) -> list[str]:
    asked = replace(query(("view", "i11"), k=k, **more), wishes=wishes)
    slate = recommender(stages or RowStages()).recommend(asked)
    names = [item.item_id for item in slate.items]
    assert len(set(names)) == len(names)
    found = 0 if slate.found is None else len(slate.found)
    rows = [] if slate.found is None else slate.found.rows.tolist()
    assert names[:found] == [f"i{row}" for row in rows]
    return names


def test_every_item_fulfils_the_expression() -> None:
    where = parse_filter('(category = "tea" or price > 9) and not brand = "south"')
    assert shown(Wishes(where=where)) == ["i1"]  # i3 is sold out, i11 seen


def test_a_selective_filter_is_answered_from_all_items_not_from_what_the_model_proposes() -> None:
    where = parse_filter("price >= 9")
    assert shown(Wishes(where=where), stages=RowStages(reach=4)) == ["i9", "i10"]


def test_only_included_items_are_shown() -> None:
    assert shown(Wishes(include=frozenset({"i7", "i3", "i1", "nobody's"}))) == ["i1", "i7"]
    assert shown(Wishes(include=frozenset())) == []


def test_boosts_move_items_by_their_strength() -> None:
    tea, pots = parse_filter('category = "tea"'), parse_filter('category = "pots"')
    assert shown(Wishes(boosts=(Boost(pots, 10.0),)), k=5) == ["i8", "i9", "i10", "i0", "i1"]
    assert shown(Wishes(boosts=(Boost(tea, -10.0),)), k=12)[-3:] == ["i0", "i1", "i2"]
    assert shown(Wishes(boosts=(Boost(pots, 0.0),)), k=3) == ["i0", "i1", "i2"]


def test_pinned_items_stand_at_their_places_where_they_may_be_shown() -> None:
    wishes = Wishes(pins=(Pin("i9", 2), Pin("i3", 1), Pin("i5", 4), Pin("nobody's", 1), Pin("i9", 3)))
    assert shown(wishes, k=5) == ["i0", "i9", "i1", "i5", "i2"]  # i3 is sold out
    assert shown(wishes, k=5, stages=RowStages(reach=3)) == ["i0", "i9", "i1", "i5", "i2"]


def test_an_item_that_is_pinned_further_down_waits_for_its_page() -> None:
    wishes = Wishes(pins=(Pin("i0", 4),))
    first = shown(wishes, k=3)
    assert first == ["i1", "i2", "i4"]
    assert shown(wishes, k=3, shown=tuple(first)) == ["i0", "i5", "i6"]


def test_of_a_category_and_of_a_brand_no_more_are_shown_than_the_caps_say() -> None:
    assert shown(Wishes(per_category=1)) == ["i0", "i4", "i8"]
    assert shown(Wishes(per_brand=2)) == ["i0", "i1", "i2", "i5"]
    assert shown(Wishes(per_category=2, pins=(Pin("i2", 1),)), k=4) == ["i2", "i0", "i4", "i5"]


def test_what_lists_fill_in_keeps_filters_and_caps() -> None:
    wishes = Wishes(where=parse_filter("price > 1"), per_category=1)
    names = shown(wishes, stages=BrokenStages())
    assert len(names) == 3
    assert {int(name[1:]) // 4 for name in names} == {0, 1, 2}


@given(
    st.lists(st.tuples(st.integers(0, 11), st.integers(1, 14)), max_size=4),
    st.none() | st.integers(1, 4),
    st.none() | st.integers(1, 4),
    st.integers(1, 12),
    st.integers(1, 12),
)
def test_pages_repeat_nothing_and_keep_the_caps(
    pins: list[tuple[int, int]], per_category: int | None, per_brand: int | None, k: int, reach: int
) -> None:
    wishes = Wishes(
        pins=tuple(Pin(f"i{n}", at) for n, at in pins), per_category=per_category, per_brand=per_brand
    )
    before: list[str] = []
    for _ in range(3):
        page = shown(wishes, k=k, stages=RowStages(reach=reach), shown=tuple(before))
        numbers = np.array([int(name[1:]) for name in page], np.int64)
        pinned = np.isin(numbers, [n for n, _ in pins])
        assert not set(page) & {*before, "i3"}
        if per_category is not None:
            assert np.bincount(numbers[~pinned] // 4, minlength=3).max() <= per_category
        if per_brand is not None:
            assert np.bincount(numbers[~pinned] % 2, minlength=2).max() <= per_brand
        before += page
