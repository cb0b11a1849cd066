"""Learning from what was shown: what stood where nobody looks is not unwanted, and slates without a click speak."""

from dataclasses import replace

import numpy as np
import pytest

from tailorbird.exposures.outcomes import OUTCOMES
from tailorbird.models.ranker.ranker import Inputs, Ranker
from tailorbird.models.ranker.shown import ShownSlates
from tailorbird.models.ranker.training import Lessons, train_ranker
from tailorbird.recipes.recipe import RankerRecipe
from tests.models.ranker.test_ranker import _slates as taken

RECIPE = RankerRecipe(hidden=4, epochs=8, learning_rate=1e-2, dropout=0.0)
PLACES = 6
EXAMINED = 0.55 ** np.arange(PLACES)


def shown(count: int, seed: int = 0, *, wanted: float = 1.5) -> ShownSlates:
    """People want by signal 0; slates are sorted by signal 1, which nobody cares for; the further down, the fewer look."""
    rng = np.random.default_rng(seed)
    signals = rng.normal(size=(count, PLACES, 6)).astype(np.float32)
    order = np.argsort(-signals[:, :, 1], axis=1)
    signals = np.take_along_axis(signals, order[:, :, None], axis=1)
    chances = EXAMINED / (1.0 + np.exp(-(wanted * signals[:, :, 0] - 1.0)))
    gains = (rng.random((count, PLACES)) < chances).astype(np.float32)
    return ShownSlates(
        signals=signals,
        item=np.zeros((count, PLACES, 4), np.float32),
        cross=np.zeros((count, PLACES, 3), np.float32),
        user=np.zeros((count, 2), np.float32),
        context=np.zeros((count, 2), np.float32),
        real=np.ones((count, PLACES), bool),
        gains=gains,
        examined=np.tile(EXAMINED.astype(np.float32), (count, 1)),
        outcomes=np.repeat(gains[:, :, None] > 0, len(OUTCOMES), axis=2) & (np.arange(len(OUTCOMES)) == 0),
    )


def slopes(ranker: Ranker) -> np.ndarray:
    """(6,) how much the score rises with each signal, on average."""
    rng = np.random.default_rng(1)
    base = rng.normal(size=(400, 6)).astype(np.float32)
    rest = (
        np.zeros((400, 4), np.float32),
        np.zeros((400, 3), np.float32),
        np.zeros(2, np.float32),
        np.zeros(2, np.float32),
    )
    found = []
    for column in range(6):
        moved = base.copy()
        moved[:, column] += 0.5
        found.append(
            float(
                np.mean(ranker.score_inputs(Inputs(moved, *rest)) - ranker.score_inputs(Inputs(base, *rest)))
            )
        )
    return np.array(found)


def learned(slates: ShownSlates, recipe: RankerRecipe = RECIPE) -> np.ndarray:
    ranker, _ = train_ranker(Lessons(shown=slates), sources=2, recipe=recipe, seed=0)
    return slopes(ranker)


def test_what_people_want_is_learned_and_not_where_it_stood() -> None:
    slates = shown(3_000)
    corrected = learned(slates)
    assert abs(corrected[1]) < 0.2 * corrected[0]
    biased = learned(replace(slates, examined=np.ones_like(slates.examined)))
    assert biased[1] > 0.4 * biased[0]  # the position passes for a wish where looks are not counted


def test_slates_without_a_click_count() -> None:
    clicked, ignored = shown(600), shown(600, 2)
    ignored.signals[:, :, 2] += 3.0  # of a kind that nobody takes
    ignored.gains[:] = 0.0
    parts = {
        name: np.concatenate([getattr(clicked, name), getattr(ignored, name)])
        for name in ("signals", "item", "cross", "user", "context", "real", "gains", "examined", "outcomes")
    }
    assert learned(ShownSlates(**parts))[2] < learned(clicked)[2] - 0.1


def test_what_was_hidden_counts_against_wherever_it_stood() -> None:
    slates = shown(1_500, wanted=0.0)
    gains = np.where(slates.signals[:, :, 3] > 0.8, -3.0, slates.gains).astype(np.float32)
    assert learned(replace(slates, gains=gains))[3] < learned(slates)[3] - 0.1


def test_cases_and_slates_teach_together() -> None:
    cases = taken(800, 0)
    validation = Lessons(taken(100, 1), shown(100, 3))
    _, curves = train_ranker(
        Lessons(cases, shown(500)), sources=2, recipe=RECIPE, seed=0, validation=validation
    )
    assert curves["validation_loss"][-1] < curves["validation_loss"][0]
    assert curves["validation_shown_loss"][-1] < curves["validation_shown_loss"][0]
    epochs = {name for name, values in curves.items() if len(values) == RECIPE.epochs}
    assert epochs == {"loss", "validation_loss", "validation_shown_loss", "validation_ndcg_at_10"}


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_lessons_divide_without_loss(share: float) -> None:
    whole = Lessons(taken(11, 0), shown(7))
    older, newer = whole.divided(share)
    for name, count in (("cases", 11), ("shown", 7)):
        assert len(getattr(older, name)) + len(getattr(newer, name)) == count
    assert np.array_equal(np.concatenate([older.shown.gains, newer.shown.gains]), whole.shown.gains)
