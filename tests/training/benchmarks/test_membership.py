"""Whoever is in a model is told from who is not, until it has forgotten; and the interval is what it says."""

import numpy as np

from tailorbird.recipes.recipe import Recipe
from training.benchmarks.membership import (
    BEFORE,
    FORGOTTEN,
    OWN,
    RANKER,
    RATIO,
    RETRAINED,
    Auc,
    measure_membership,
)

COUNTS = Recipe.of(
    {
        "name": "counts",
        "width": 8,
        "sources": ["cooccurrence", "popularity"],
        "ranker": {"cases": 60, "epochs": 1},
    }
)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    drawn = [Auc.of(rng.normal(0.0, 1.0, 100), rng.normal(0.0, 1.0, 100)) for _ in range(400)]
    assert 0.92 <= np.mean([each.low <= 0.5 <= each.high for each in drawn]) <= 0.98
    assert Auc.of(np.array([3.0, 4.0]), np.array([1.0, 2.0])).mean == 1.0
    assert Auc.of(np.array([1.0, 1.0]), np.array([1.0, 1.0])).mean == 0.5


def test_members_are_known_before_and_not_after() -> None:
    found = measure_membership(150, 60, recipe=COUNTS, seed=3)
    stages = found["cooccurrence", RATIO]
    assert stages[BEFORE].low > 0.9
    assert stages[FORGOTTEN].low < 0.5 < stages[FORGOTTEN].high
    # The same data, and an exact rebuild: the same answers. The ranker has learned, and forgets when it is trained anew.
    counts = {key: each for key, each in found.items() if key[0] != RANKER}
    assert all(each[FORGOTTEN] == each[RETRAINED] for each in counts.values())
    ranker = found[RANKER, OWN]
    assert ranker[BEFORE].low > 0.9
    assert ranker[RETRAINED].low < 0.5 < ranker[RETRAINED].high
