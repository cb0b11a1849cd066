"""Habit on toy worlds."""

import numpy as np

from tailorbird.events.interactions import Interactions
from tailorbird.models.retrievers.habit import Habit
from tailorbird.recipes.recipe import HabitRecipe
from tests.models import toy


def _fitted(**changes: float) -> Habit:
    """Everybody buys item 0 again and again, item 1 once."""
    users = np.repeat(np.arange(30), 4)
    items = np.tile([0, 1, 0, 2], 30)
    world = Interactions.of(
        users=users,
        items=items,
        times=toy.START + np.arange(len(users)) * 60.0,
        user_ids=np.array([f"u{n}" for n in range(30)], dtype=object),
        item_count=toy.ITEMS,
    )
    return Habit(HabitRecipe(**changes)).fit(world, toy.catalog())


def test_only_own_items_are_proposed_the_frequent_and_late_ones_first() -> None:
    habit = _fitted()
    assert toy.best_of(habit, toy.asking([5, 4, 5, 3, 4, 5]), 5) == [[5, 4, 3]]


def test_what_people_repeat_comes_before_what_they_take_once() -> None:
    habit = _fitted()
    assert habit.repeated[0] > 5 * habit.repeated[1]
    assert toy.best_of(habit, toy.asking([0, 1]), 1) == [[0]]  # though 1 is later


def test_a_basket_with_an_item_twice_is_no_repeat() -> None:
    world = Interactions.of(
        users=np.zeros(40, int),
        items=np.full(40, 3),
        times=np.full(40, toy.START),
        user_ids=np.array(["u"], dtype=object),
        item_count=toy.ITEMS,
    )
    assert Habit().fit(world, toy.catalog()).repeated.max() < 0.01
