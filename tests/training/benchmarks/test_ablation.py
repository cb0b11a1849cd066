"""The ablation of segments: every row is fitted and asked as its name says, and differences come with an honest interval."""

import numpy as np
import pytest

from tailorbird.recipes.recipe import Recipe
from training.benchmarks.ablation import (
    EVERYBODY,
    FEATURES,
    LEARNED,
    LISTS,
    TOLD,
    WITHOUT,
    measure_shop,
    over_shops,
)

RECIPE = Recipe.of(
    {
        "name": "popular",
        "width": 8,
        "sources": ["popularity"],
        "max_category_share": 1.0,
        "ranker": {"cases": 1},
    }
)


def test_the_interval_is_student_s_over_the_shops() -> None:
    found = over_shops([0.01, 0.02, 0.03])
    assert found.mean == pytest.approx(0.02)
    assert found.high - found.mean == pytest.approx(4.302653 * 0.01 / np.sqrt(3), rel=1e-6)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)
    assert np.isnan(over_shops([0.01]).low)


@pytest.mark.slow
def test_a_hybrid_of_popularity_alone_is_the_list_of_its_groups() -> None:
    """Without a trained ranker it answers from the list by what was told, and from that of the learned segment where one is pinned."""
    found = measure_shop(1_000, RECIPE, seed=7)
    assert found is not None
    means = found.means
    assert 3 <= found.segments <= 12
    assert means[WITHOUT] == pytest.approx(means[TOLD], abs=1e-9)
    assert means[LISTS] == pytest.approx(means[LEARNED], abs=1e-9)
    assert means[FEATURES] == pytest.approx(means[LEARNED], abs=1e-9)
    assert len({round(means[each], 6) for each in (EVERYBODY, TOLD, LEARNED)}) == 3
    assert found.within[LISTS].mean == pytest.approx(means[LISTS] - means[WITHOUT])
