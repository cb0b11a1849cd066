"""A loop closes: everybody who looks at a page gets a slate, what follows is learned from, and the oracle is not beaten."""

import numpy as np
import pytest

from tailorbird.recipes.recipe import load_recipe
from tailorbird.slate.exploration import Exploration
from training.benchmarks.loop.closed_shop import ClosedShop
from training.benchmarks.loop.closing import PLACES, Loop, Way
from training.benchmarks.loop.loop import CHANGES, Compared

QUICK = load_recipe("quick").override(
    {**CHANGES, "width": 16, "ranker.cases": 200, "ranker.epochs": 2, "ranker.learn_from": "both"}
)


@pytest.fixture(scope="module")
def world() -> ClosedShop:
    return ClosedShop.make(120, seed=1, days=4)


@pytest.fixture(scope="module")
def learned(world: ClosedShop) -> Loop:
    loop = Loop(world, Way("learns", QUICK, Exploration(uniform=0.2)))
    list(loop.run(learning_days=2))
    return loop


def test_every_page_gets_a_slate_and_every_answer_an_exposure(world: ClosedShop, learned: Loop) -> None:
    asked = [len(requests) for requests in world.requests]
    assert [day.slates for day in learned.figures] == asked
    assert len(learned.exposures) == sum(asked) > 100
    assert {len(exposure.items) for exposure in learned.exposures} == {PLACES}
    clicks = sum(event.type == "click" for event in learned.answered)
    assert sum((gains > 0).sum() for gains in learned.shown().gains) == clicks > 0
    assert sum(day.clicks for day in learned.figures) == clicks


def test_expected_clicks_are_what_people_do_on_average(learned: Loop) -> None:
    clicks, expected = (sum(getattr(day, name) for day in learned.figures) for name in ("clicks", "expected"))
    assert clicks == pytest.approx(expected, rel=0.25)


def test_what_was_clicked_is_had_and_not_shown_to_them_again(learned: Loop) -> None:
    clicks = [event for event in learned.answered if event.type == "click"]
    for event in clicks:
        later = [
            exposure
            for exposure in learned.exposures
            if exposure.user_id == event.user_id and exposure.instant > event.event_time
        ]
        assert all(event.item_id not in exposure.items for exposure in later)
    people = {exposure.user_id for exposure in learned.exposures if exposure.instant > clicks[0].event_time}
    assert people & {event.user_id for event in clicks}


def test_the_model_was_trained_again_and_the_oracle_is_better(world: ClosedShop, learned: Loop) -> None:
    assert learned.recommender.version == str(world.days - 1)
    assert learned.model.ranker.trained
    best = Loop(world, Way("oracle"))
    assert sum(day.expected for day in best.run(learning_days=0)) > sum(
        day.expected for day in learned.figures
    )


def test_ratios_are_geometric_means_with_their_interval() -> None:
    found = Compared.of([2.2, 1.8, 4.0], [2.0, 2.0, 4.0])
    assert found.ratio == pytest.approx((1.1 * 0.9) ** (1 / 3))
    assert found.low < found.ratio < found.high
    assert Compared.of([2.0], [1.0]).high == np.inf
