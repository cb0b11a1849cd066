"""A hybrid that pins segments: its ranker reads them, popularity and lists are of them, and it takes them wherever it goes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tailorbird.events.columns import EventColumns
from tailorbird.events.schema import Event
from tailorbird.features.demographics import demographics_of
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.profile.folding import fold
from tailorbird.features.profile.replay import ReplayProfiles
from tailorbird.features.profile.state import UserState
from tailorbird.features.table import SEGMENT_FEATURES, USER_FEATURES
from tailorbird.features.vectors.user import user_vector
from tailorbird.models.hybrid.fit import fit_hybrid
from tailorbird.models.hybrid.model import HybridModel
from tailorbird.models.hybrid.stages import recommender_of
from tailorbird.recipes.recipe import Recipe
from tailorbird.segments.belonging import PromotedSegments
from tailorbird.segments.past import with_groups
from tailorbird.segments.pinned import Pin, PinnedSegments, segment_vector
from tailorbird.slate.query import Query
from tests.models import toy
from tests.models.hybrid.asking import NOW
from tests.segments.carters import CARTS, LOOKS, carters

PINNED = PinnedSegments(Pin("toy.segments", "1", "abc"), carters())
RECIPE = Recipe.of(
    {
        "name": "toy",
        "width": 8,
        "candidates": 10,
        "exclude_seen": False,
        "sources": ["cooccurrence", "popularity"],
        "popularity": {"segment_events": 20},
        "cooccurrence": {"window": 3, "smoothing": 1.0, "ease_l2": 10.0},
        "ranker": {"share": 0.3, "negatives": 9, "epochs": 3, "cases": 400, "segments": True},
    }
)


def fitted(pinned: PinnedSegments | None, recipe: Recipe = RECIPE) -> HybridModel:
    """Who loves the second shelf fills carts, who loves the first only looks."""
    data = toy.interactions()
    log = toy.events(data)
    odd = log["user_id"].str.removeprefix("user-").astype(int) % 2 == 1
    log.loc[odd, "type"] = "add_to_cart"
    log.loc[~odd, "type"] = "view"
    profiles, people = ReplayProfiles.of_frame(log, toy.catalog()), demographics_of(toy.people())
    if pinned is not None:
        data = with_groups(data, pinned.model, profiles=profiles, people=people)
    events = EventColumns.of_frame(log)
    return fit_hybrid(
        data, toy.catalog(), toy.people(), profiles, events, recipe, pinned=pinned, seed=1
    ).model


@pytest.fixture(scope="module")
def model() -> HybridModel:
    return fitted(PINNED)


def who(kind: str, *, count: int = 5) -> UserState:
    """Somebody who did the same to the newest item a few times, an item that says nothing of shelves."""
    item = str(toy.catalog().item_ids[toy.COLD])
    events = [
        Event(f"{kind}-{n}", kind, NOW - 60.0 + n, NOW - 60.0 + n, user_id="new", item_id=item)
        for n in range(count)
    ]
    return fold(UserState.empty("user:new"), events, ItemFacts.of(toy.catalog()))


def test_popularity_is_counted_by_the_segment_of_the_instant(model: HybridModel) -> None:
    popularity = model.popularity
    assert popularity is not None
    assert {LOOKS, CARTS} < set(popularity.segments)
    shelf = np.arange(toy.ITEMS) // toy.SHELF
    for key, loved in ((LOOKS, 0), (CARTS, 1)):
        assert set(shelf[popularity.top(toy.SHELF, segment=key)]) == {loved}
    for kind, key in (("view", LOOKS), ("add_to_cart", CARTS)):
        assert model.history_of(who(kind), now=NOW).segments == [key]
    assert model.history_of(who("view", count=1), now=NOW).segments == [""]


def test_the_list_that_stands_in_is_of_the_pinned_segment_of_the_instant(model: HybridModel) -> None:
    """What is promoted meanwhile, and what the person told, says nothing of it."""
    lists = replace(recommender_of(model), stages=None)
    renamed = PromotedSegments("2", carters(carts="renamed"))
    shelf = dict(zip(toy.catalog().item_ids, np.arange(toy.ITEMS) // toy.SHELF, strict=True))
    for kind, loved in (("view", 0), ("add_to_cart", 1)):
        state = who(kind)
        slate = lists.recommend(Query(state, NOW, k=4, segment="f 25-34", belonging=renamed.belonging(state)))
        assert slate.fallback == "segment_popularity"
        assert {shelf[item.item_id] for item in slate.items} == {loved}
    assert lists.recommend(Query(who("view", count=1), NOW, k=4)).fallback == "popularity"


def test_the_ranker_reads_what_the_same_function_gives_in_serving_as_in_training(model: HybridModel) -> None:
    state, rows = who("add_to_cart"), np.arange(3)
    person = model.features(
        rows, state, now=NOW, context={}, demographics=demographics_of(toy.people())["user:user-1"]
    )[1]
    assert person.shape == (len(USER_FEATURES) + len(SEGMENT_FEATURES),)
    assert person[len(USER_FEATURES) :].tolist() == segment_vector(PINNED.placed(state)).tolist()
    slate = recommender_of(model).recommend(Query(state, NOW, k=3))
    assert not slate.failure
    assert slate.user_vector[len(USER_FEATURES) :].tolist() == segment_vector(PINNED.placed(state)).tolist()


def test_the_segment_moves_scores_only_where_the_ranker_reads_it(model: HybridModel) -> None:
    state, rows = who("add_to_cart"), np.arange(6)
    elsewhere = PINNED.placed(who("view"))

    def scores(asked: HybridModel, placed: object = None) -> np.ndarray:
        found = asked.signals(asked.history_of(state, now=NOW), rows)
        return asked.score(found, state, now=NOW, placed=placed)[0]

    assert not np.allclose(scores(model), scores(model, elsewhere))
    blind = fitted(PINNED, RECIPE.override({"ranker.segments": False}))
    assert np.array_equal(scores(blind), scores(blind, elsewhere))
    assert blind.pinned is not None


def test_it_is_saved_and_loaded_with_the_segments_it_pins(model: HybridModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    loaded = HybridModel.load(tmp_path)
    assert loaded.pinned is not None
    assert loaded.pinned.pin == PINNED.pin
    query = Query(who("add_to_cart"), NOW, k=8)
    ours, theirs = recommender_of(model).recommend(query), recommender_of(loaded).recommend(query)
    assert [item.item_id for item in ours.items] == [item.item_id for item in theirs.items]
    assert np.array_equal(ours.user_vector, theirs.user_vector)
    assert loaded.with_items(loaded.item_table, now=NOW).pinned is loaded.pinned


def test_without_segments_the_ranker_has_none_of_them(tmp_path: Path) -> None:
    plain = fitted(None)
    state = who("add_to_cart")
    slate = recommender_of(plain).recommend(Query(state, NOW, k=3))
    assert np.array_equal(slate.user_vector, user_vector(state, now=NOW))
    plain.save(tmp_path)
    assert not (tmp_path / "segments").exists()
    assert HybridModel.load(tmp_path).pinned is None


def test_pinning_needs_interactions_that_say_who_was_where() -> None:
    data = toy.interactions()
    log = toy.events(data)
    profiles = ReplayProfiles.of_frame(log, toy.catalog())
    with pytest.raises(ValueError, match="who was in which"):
        fit_hybrid(
            data, toy.catalog(), toy.people(), profiles, EventColumns.of_frame(log), RECIPE, pinned=PINNED
        )


def test_a_query_asks_the_pinned_segments_once() -> None:
    asked = []

    class Counting(PinnedSegments):
        def placed(self, *args: object) -> object:
            asked.append(args)
            return super().placed(*args)  # type: ignore[arg-type]

    counting, query = Counting(PINNED.pin, PINNED.model), Query(who("view"), NOW)
    first = query.placed_by(counting)
    assert query.placed_by(counting) is first
    assert query.placed_by(None) is None
    moved = replace(query, state=who("add_to_cart"))
    assert moved.placed_by(counting).label != first.label
    assert len(asked) == 2
