"""Exploration's price and gain are counted against an oracle that knows which new items are good."""

from collections import Counter

import numpy as np
import pytest

from training.benchmarks.loop.closed_shop import DAY, ClosedShop
from training.benchmarks.loop.closing import DayFigures, Loop, Way
from training.benchmarks.loop.exploring import GOOD, NONE, Followed, _summary, days_until, good_newcomers


def day(**shown: int) -> DayFigures:
    return DayFigures(shown=Counter(shown))


def test_an_item_has_reached_its_share_once_it_had_half_of_the_oracles_since_its_launch() -> None:
    days = [day(other=100), day(other=99, new=1), day(other=90, new=10), day(other=50, new=50)]
    assert days_until(days, "new", first=1, share=0.1) == 2.0  # 11 of 200
    assert days_until(days, "new", first=1, share=0.5) == float("inf")
    assert days_until(days, "new", first=3, share=0.5) == 1.0


def test_good_newcomers_are_those_that_the_oracle_shows(small: ClosedShop) -> None:
    oracle = list(Loop(small, Way("oracle")).run(learning_days=0))
    found = good_newcomers(small, oracle)
    launched = dict(zip(small.catalog.item_ids, small.shop.truth.goods.launched_at, strict=True))
    assert found
    for item, (first, share) in found.items():
        assert first == np.floor((launched[item] - small.start) / DAY)
        assert share >= GOOD / len(small.catalog)
        assert sum(day.shown[item] for day in oracle[:first]) == 0
        assert days_until(oracle, item, first=first, share=share) <= small.days - first


@pytest.fixture(scope="module")
def small() -> ClosedShop:
    return ClosedShop.make(200, seed=2, days=8)


def test_what_is_not_reached_is_not_left_out_of_the_median() -> None:
    shops = [{NONE: Followed(1.0, (1.0, np.inf, np.inf)), "x": Followed(0.9, (1.0, 2.0, np.inf))}]
    assert _summary(NONE, shops)["median days"] == "not reached"
    assert _summary("x", shops)["median days"] == "2"
    assert _summary("x", shops)["reached their share"] == "67%"
