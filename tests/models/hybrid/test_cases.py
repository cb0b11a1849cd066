"""What the ranker is asked while it learns: which events, and at which instants."""

from dataclasses import replace

import numpy as np

from tailorbird.events.interactions import Interactions
from tailorbird.models.hybrid.fit import new_items
from tailorbird.models.hybrid.slates import ranker_cases
from tailorbird.recipes.recipe import Recipe
from tests.models import toy
from tests.models.hybrid.asking import RECIPE


def test_the_ranker_learns_from_events_that_its_retrievers_never_saw() -> None:
    data = toy.interactions()
    cut = float(np.quantile(data.times, 0.7))
    older, newer = data.before(cut), data.where(data.times >= cut)
    cases = ranker_cases(older, newer, recipe=RECIPE, seed=0)
    assert len(cases) == RECIPE.ranker.cases or len(cases) == len(newer)
    assert (cases.instants >= cut).all()
    assert (np.diff(cases.instants) >= 0).all()


def test_of_a_run_of_events_on_one_item_the_first_is_a_case() -> None:
    """What was clicked had been looked at before: asked at the click, only the target would have been seen."""
    items = np.array([0, 0, 1, 1, 1, 2, 1])
    world = Interactions.of(
        users=np.zeros(7, int),
        items=items,
        times=toy.START + 60.0 * np.arange(7),
        user_ids=np.array(["user:ann"], dtype=object),
        item_count=toy.ITEMS,
    )
    older, newer = world.where(items == 0), world.where(items > 0)
    first = ranker_cases(older, newer, recipe=replace(RECIPE, exclude_seen=True), seed=0)
    assert (first.instants - toy.START).tolist() == [120.0, 300.0]
    assert first.targets.tolist() == [1, 2]
    repeats = ranker_cases(older, newer, recipe=RECIPE, seed=0)
    assert (repeats.instants - toy.START).tolist() == [120.0, 300.0, 360.0]


def test_where_seen_items_are_never_answered_only_first_touches_are_cases() -> None:
    data = toy.interactions()  # the ring is walked four times: nothing is new in the last third
    cut = float(np.quantile(data.times, 0.7))
    older, newer = data.before(cut), data.where(data.times >= cut)
    assert len(ranker_cases(older, newer, recipe=replace(RECIPE, exclude_seen=True), seed=0)) == 0


def test_an_item_of_a_basket_is_asked_when_the_basket_begins() -> None:
    times = toy.START + np.array([0.0, 1e-6, 60.0, 60.000001, 60.000002, 120.0])
    world = Interactions.of(
        users=np.zeros(6, int),
        items=np.array([0, 1, 2, 3, 4, 5]),
        times=times,
        user_ids=np.array(["user:ann"], dtype=object),
        item_count=toy.ITEMS,
    )
    older, newer = world.before(toy.START + 30), world.where(world.times >= toy.START + 30)
    baskets = ranker_cases(older, newer, recipe=Recipe(baskets=True), seed=0)
    assert baskets.instants.tolist() == [times[2], times[2], times[2], times[5]]
    in_order = ranker_cases(older, newer, recipe=Recipe(), seed=0)
    assert in_order.instants.tolist() == times[2:].tolist()


def test_items_that_are_taken_to_be_new_are_a_share_of_those_with_events() -> None:
    data = toy.interactions()
    assert not new_items(data, share=0.0, seed=0).any()
    drawn = new_items(data, share=0.5, seed=0)
    assert drawn.sum() == toy.SHELF
    assert not drawn[toy.COLD]
