"""Heads: each outcome by itself, and an order by their weighted sum that costs an answer nothing."""

from dataclasses import replace

import numpy as np
import pytest

from tailorbird.exposures.outcomes import OUTCOMES
from tailorbird.models.ranker.heads import FEWEST
from tailorbird.models.ranker.ranker import GROUPS, Inputs, Ranker
from tailorbird.models.ranker.shown import ShownSlates
from tailorbird.models.ranker.training import Lessons, train_ranker
from tests.models.ranker.test_shown import EXAMINED, PLACES, RECIPE, shown, slopes

CLICK, CART, PURCHASE, HIDE = range(len(OUTCOMES))


def planted(count: int, seed: int = 0) -> ShownSlates:
    """Signal 0 draws clicks, 2 sells what was clicked, 3 has things hidden; signal 1 decides about places alone."""
    slates, rng = shown(count, seed), np.random.default_rng([seed, 1])
    clicked = slates.gains > 0
    sold = clicked & (rng.random(clicked.shape) < 1.0 / (1.0 + np.exp(-2.0 * slates.signals[:, :, 2])))
    looked = rng.random(clicked.shape) < EXAMINED
    hidden = ~clicked & looked & (rng.random(clicked.shape) < 0.3 * (slates.signals[:, :, 3] > 0.5))
    outcomes = np.zeros((count, PLACES, len(OUTCOMES)), bool)
    outcomes[..., CLICK], outcomes[..., PURCHASE], outcomes[..., HIDE] = clicked, sold, hidden
    return replace(slates, outcomes=outcomes)


@pytest.fixture(scope="module")
def trained() -> tuple[Ranker, dict[str, list[float]]]:
    lessons, newer = Lessons(shown=planted(2_500)), Lessons(shown=planted(600, 5))
    return train_ranker(lessons, sources=2, recipe=RECIPE, seed=0, validation=newer)


def test_each_outcome_is_foretold_by_what_leads_to_it(trained) -> None:
    ranker, figures = trained
    assert set(ranker.heads) == {"click", "purchase", "hide"}  # nothing was put into a cart
    of_click, of_purchase, of_hide = (
        slopes(ranker.weighed({name: 1.0})) for name in ("click", "purchase", "hide")
    )
    assert of_click[0] > 3 * abs(of_click[2])
    assert of_purchase[2] > 0.5 * of_purchase[0] > 0
    assert of_hide[3] > 3 * abs(of_hide[0])
    for found in (of_click, of_purchase, of_hide):
        assert abs(found[1]) < 0.25 * found.max()  # the place is no wish
    assert figures["head_gain.purchase"][0] > 0.02
    assert figures["head_gain.hide"][0] > 0.02


def test_signed_weights_order(trained) -> None:
    ranker, _ = trained
    both = slopes(ranker.weighed({"click": 1.0, "hide": -2.0}))
    assert both[0] > 0 > both[3]
    doubled = slopes(ranker.weighed({"click": 2.0, "hide": -4.0}))
    assert doubled == pytest.approx(2 * both, rel=1e-3)


def test_heads_change_nothing_of_the_ranker(trained) -> None:
    ranker, _ = trained
    bare, _ = train_ranker(
        Lessons(shown=replace(planted(2_500), outcomes=np.zeros((2_500, PLACES, len(OUTCOMES)), bool))),
        sources=2,
        recipe=RECIPE,
        seed=0,
        validation=Lessons(shown=planted(600, 5)),
    )
    assert bare.heads == {}
    assert np.array_equal(bare.blend, ranker.blend)
    assert np.array_equal(bare.out, ranker.out)
    assert bare.weighed({"purchase": 1.0}) is bare  # an unknown outcome counts nothing


def test_a_click_is_foretold_in_the_order_of_the_score(trained) -> None:
    ranker, _ = trained
    slates = planted(1, 9)
    inputs = Inputs(*(getattr(slates, name)[0] for name in GROUPS))
    order = np.argsort(ranker.score_inputs(inputs))
    assert np.array_equal(order, np.argsort(ranker.weighed({"click": 1.0}).score_inputs(inputs)))
    assert ranker.read(inputs)[:, 0] == pytest.approx(ranker.score_inputs(inputs), abs=1e-4)


def test_a_head_is_saved_with_its_ranker(trained, tmp_path) -> None:
    ranker, _ = trained
    ranker.save(tmp_path)
    found = Ranker.load(tmp_path).weighed({"purchase": 1.0, "hide": -1.0})
    assert slopes(found) == pytest.approx(slopes(ranker.weighed({"purchase": 1.0, "hide": -1.0})))


def test_what_hardly_happened_gets_no_head() -> None:
    slates = planted(300)
    rare = np.argwhere(slates.outcomes[..., PURCHASE])[FEWEST - 1 :]
    slates.outcomes[rare[:, 0], rare[:, 1], PURCHASE] = False
    ranker, _ = train_ranker(Lessons(shown=slates), sources=2, recipe=RECIPE, seed=0)
    assert "purchase" not in ranker.heads
