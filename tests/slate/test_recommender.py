"""The stages together: what comes out, what was left out and why, and that an answer always comes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailorbird.catalog.catalog import Catalog
from tailorbird.slate.query import Query, Rules
from tailorbird.slate.select import WINDOW, VarietySelector
from tailorbird.slate.shelf import Shelf
from tests.slate.toy import CATALOG, NOW, BrokenStages, RowStages, query, recommender, state


def ids(slate):
    return [item.item_id for item in slate.items]


def test_best_items_come_first_with_their_sources():
    slate = recommender().recommend(query(("view", "i11"), k=3, explain=True))
    assert ids(slate) == ["i0", "i1", "i2"]
    assert slate.items[0].sources == ("first", "second")
    assert slate.items[1].sources == ("first",)
    assert slate.items[2].reasons == ("number 3 of first", "number 2 of second")
    assert (slate.fallback, slate.partial, slate.more) == ("", False, True)
    assert slate.user_vector.tolist() == [1.0, 2.0]


def test_seen_hidden_excluded_and_sold_out_items_never_return():
    asked = query(("view", "i0"), ("hide", "i1"), k=12, exclude=frozenset({"i2"}), item_id="i4")
    slate = recommender().recommend(asked)
    assert ids(slate) == ["i5", "i6", "i7", "i8", "i9", "i10", "i11"]
    reasons = {part.reason: part.rows().tolist() for part in slate.removed}
    assert reasons == {"hidden": [1], "seen": [0], "out_of_stock": [3], "excluded": [2, 4]}
    assert slate.partial
    assert not slate.more


def test_items_show_up_when_they_are_launched():
    dates = [NOW + 60.0 if n == 0 else NOW - 60.0 if n == 1 else float("nan") for n in range(12)]
    dated = Catalog.from_frame(CATALOG.items.assign(launched_at=dates))
    shop = replace(recommender(), shelf=Shelf.of(dated))
    today = shop.recommend(query(("view", "i11"), k=2))
    assert ids(today) == ["i1", "i2"]
    assert {part.reason: part.rows().tolist() for part in today.removed}["not_launched"] == [0]
    assert ids(shop.recommend(replace(query(("view", "i11"), k=2), now=NOW + 60.0))) == ["i0", "i1"]


def test_seen_and_hidden_items_stay_away_after_hundreds_of_further_events():
    later = [("view", "elsewhere") for _ in range(300)]
    asked = query(("view", "i0"), ("hide", "i1"), *later, k=12)
    assert len(asked.state.history) == 128
    reasons = {part.reason: part.rows().tolist() for part in recommender().recommend(asked).removed}
    assert (reasons["hidden"], reasons["seen"]) == ([1], [0])


def test_seen_items_return_where_repeats_are_wanted():
    assert ids(recommender().recommend(query(("view", "i0"), k=2, keep_seen=True))) == ["i0", "i1"]
    assert ids(recommender(keep_seen=True).recommend(query(("view", "i0"), k=1))) == ["i0"]


def test_hidden_items_stay_hidden_even_where_repeats_are_wanted():
    assert ids(recommender().recommend(query(("hide", "i0"), k=1, keep_seen=True))) == ["i1"]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (Rules(categories=("pots",)), ["i8", "i9", "i10", "i11"]),
        (Rules(categories=("pots", "cups"), brands=("north",)), ["i5", "i7", "i9", "i11"]),
        (Rules(min_price=2.0, max_price=5.0), ["i2", "i4", "i5"]),
        (Rules(categories=("spoons",)), []),
    ],
)
def test_rules_hold_for_every_item(rules, expected):
    assert ids(recommender().recommend(query(("view", "i0"), k=12, rules=rules))) == expected


def test_an_unknown_user_is_answered_and_marked():
    slate = recommender().recommend(query(k=2))
    assert ids(slate) == ["i0", "i1"]
    assert slate.fallback == "cold_start"


def test_more_than_the_catalogue_is_partial():
    slate = recommender().recommend(query(("view", "i11"), k=10_000))
    assert len(slate.items) == 10  # all but the seen and the sold-out one
    assert slate.partial
    assert not slate.more


def test_places_the_model_cannot_fill_come_from_popularity():
    slate = recommender(RowStages(reach=2)).recommend(query(("view", "i11"), k=4))
    assert ids(slate) == ["i0", "i1", "i7", "i5"]
    assert slate.fallback == "popularity"
    assert slate.items[2].sources == ("popularity",)


def test_a_failing_model_is_replaced_by_lists():
    slate = recommender(BrokenStages()).recommend(query(("view", "i0"), k=4))
    assert ids(slate) == ["i7", "i5", "i1", "i2"]  # popular ones, then the editor's order
    assert slate.fallback == "popularity"
    assert "index is broken" in slate.failure


def test_one_querys_trouble_is_not_anothers():
    class PartlyBroken(BrokenStages):
        victim = "bob"

    asked = [query(("view", "i11"), k=2), Query(state(user="bob"), NOW, k=2)]
    whole, failed = recommender(PartlyBroken()).recommend_many(asked)
    assert (ids(whole), whole.failure) == (["i0", "i1"], "")
    assert (ids(failed), failed.fallback) == (["i7", "i5"], "popularity")


def test_queries_together_are_answered_as_each_alone():
    asked = [query(("view", f"i{n}"), k=n + 1) for n in range(6)]
    together = recommender().recommend_many(asked)
    assert [ids(slate) for slate in together] == [ids(recommender().recommend(one)) for one in asked]


def test_the_segments_favourites_come_before_everybodys():
    slate = recommender(None).recommend(query(k=2, segment="tea-lovers"))
    assert ids(slate) == ["i2", "i7"]
    assert slate.fallback == "segment_popularity"


def test_pages_never_repeat_and_reach_every_item():
    shown: tuple[str, ...] = ()
    for _ in range(10):
        slate = recommender(RowStages(reach=5)).recommend(query(k=3, shown=shown))
        shown += tuple(ids(slate))
        if not slate.more:
            break
    assert sorted(shown) == sorted(set(CATALOG.item_ids) - {"i3"})


def test_rerank_orders_the_given_items_and_keeps_unknown_ones_at_the_end():
    slate = recommender().rerank(query(), ["i9", "nobody", "i3", "i9"])
    assert ids(slate) == ["i3", "i9", "nobody"]
    assert slate.partial


def test_rerank_without_a_model_goes_by_popularity():
    slate = recommender(BrokenStages()).rerank(query(), ["i0", "i5", "i7"])
    assert ids(slate) == ["i7", "i5", "i0"]
    assert slate.fallback == "popularity"


def test_similar_items_are_neighbours_without_the_item_itself():
    assert ids(recommender().similar(query(k=3, item_id="i6"))) == ["i5", "i7", "i4"]


def test_no_category_fills_more_than_its_share_while_others_wait():
    slate = recommender(max_category_share=0.1).recommend(query(("view", "i11"), k=10))
    assert ids(slate) == ["i0", "i1", "i4", "i5", "i8", "i9", "i2", "i6", "i7", "i10"]  # then what waited


@given(shelves=st.lists(st.integers(-1, 3), max_size=40), k=st.integers(1, 20), share=st.floats(0.05, 1.0))
def test_selection_loses_no_place_and_repeats_none(shelves, k, share):
    places = VarietySelector(share).select(np.asarray(shelves, np.int32), k)
    assert len(places) == min(k, len(shelves))
    assert len(set(places.tolist())) == len(places)
    full = max(1, int(np.ceil(share * WINDOW)))
    for start in range(0, len(places), WINDOW):
        window = np.asarray(shelves, int)[places[start : start + WINDOW]]
        waiting = np.delete(np.asarray(shelves, int), places[: start + WINDOW])
        for shelf in set(window.tolist()) - {-1}:
            over = (window == shelf).sum() > full
            assert not over or all(
                (window == other).sum() >= full for other in set(waiting.tolist()) if k >= start + WINDOW
            )


@given(shelves=st.lists(st.integers(-1, 3), max_size=60), share=st.floats(0.05, 1.0), k=st.integers(1, 60))
def test_a_long_list_begins_with_the_short_one(shelves, share, k):
    codes = np.asarray(shelves, np.int32)
    whole = VarietySelector(share).select(codes, 60)
    assert VarietySelector(share).select(codes, k).tolist() == whole[:k].tolist()


@given(
    seen=st.sets(st.integers(0, 11)),
    hidden=st.sets(st.integers(0, 11)),
    excluded=st.sets(st.integers(0, 11)),
    cheap=st.floats(0, 12),
)
def test_allowed_and_removed_make_the_catalogue(seen, hidden, excluded, cheap):
    asked = query(
        *[("view", f"i{n}") for n in seen],
        *[("hide", f"i{n}") for n in hidden],
        exclude=frozenset(f"i{n}" for n in excluded),
        rules=Rules(max_price=cheap),
    )
    screen = recommender().screen(asked)
    parts = [screen.allowed.rows(), *[part.rows() for part in screen.removed]]
    assert [len(rows) for rows in parts[1:]] == [part.count for part in screen.removed]
    assert sorted(np.concatenate(parts).tolist()) == list(range(12))
    assert screen.size == len(parts[0])
    assert set(parts[0].tolist()).isdisjoint(seen | hidden | excluded | {3})


def test_a_slate_carries_its_items_as_the_ranker_saw_them():
    slate = recommender().recommend(query(("view", "i0"), k=12))
    shown = [str(CATALOG.item_ids[row]) for row in slate.found.rows]
    assert shown == [item.item_id for item in slate.items][: len(shown)]
    assert slate.scored_at == NOW
    assert recommender(None).recommend(query()).found is None


def test_a_kept_ranking_says_when_it_was_made():
    model, first = recommender(), query()
    ((_, ranking),) = model.recommend_and_rank([first])
    ((slate, _),) = model.recommend_and_rank([replace(first, now=NOW + 9)], known=[ranking])
    assert slate.scored_at == NOW
