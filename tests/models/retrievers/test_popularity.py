"""Popularity on toy worlds."""

import numpy as np

from tailorbird.events.interactions import Interactions
from tailorbird.models.retrievers.popularity import DAY, Popularity
from tailorbird.recipes.recipe import PopularityRecipe
from tests.models import toy


def _world(items: list[int], ages_days: list[float], users: list[int] | None = None) -> Interactions:
    return Interactions.of(
        users=np.array(users or [0] * len(items)),
        items=np.array(items),
        times=toy.START - np.array(ages_days) * DAY,
        user_ids=np.array(["a", "b"], dtype=object),
        item_count=toy.ITEMS,
    )


def test_recent_events_outweigh_many_old_ones() -> None:
    world = _world([0, 0, 0, 0, 1, 1], [90, 90, 90, 90, 0, 0])
    recent = Popularity(PopularityRecipe(half_life_days=7)).fit(world, toy.catalog())
    patient = Popularity(PopularityRecipe(half_life_days=10_000)).fit(world, toy.catalog())
    assert recent.top(2).tolist() == [1, 0]
    assert patient.top(2).tolist() == [0, 1]


def test_items_that_decayed_to_nothing_keep_their_order() -> None:
    world = _world([0, 0, 1, 2], [90_000, 90_000, 90_000, 0])
    fitted = Popularity(PopularityRecipe(half_life_days=1)).fit(world, toy.catalog())
    assert fitted.top(3).tolist() == [2, 0, 1]


def test_each_segment_has_its_own_list_and_strangers_get_everybodys() -> None:
    world = _world([0] * 30 + [1] * 20, [0.0] * 50, users=[0] * 30 + [1] * 20)
    segments = np.array(["climbers", "pianists"], dtype=object)
    fitted = Popularity(PopularityRecipe(segment_events=10), user_segments=segments).fit(world, toy.catalog())
    histories = toy.asking([], [], [], segments=["climbers", "pianists", "martians"])
    assert toy.best_of(fitted, histories, 1) == [[0], [1], [0]]
    assert fitted.top(1, segment="pianists").tolist() == [1]
    assert fitted.top(1, segment="martians").tolist() == [0]


def test_a_small_segment_is_not_believed() -> None:
    world = _world([0] * 30 + [1] * 5, [0.0] * 35, users=[0] * 30 + [1] * 5)
    segments = np.array(["climbers", "pianists"], dtype=object)
    fitted = Popularity(PopularityRecipe(segment_events=10), user_segments=segments).fit(world, toy.catalog())
    assert set(fitted.segments) == {"", "climbers"}
