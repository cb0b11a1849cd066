"""The ranker: it learns what separates the taken item, and numpy scores as torch does."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from tailorbird.models.ranker.ranker import Inputs, Ranker
from tailorbird.models.ranker.slates import Slates
from tailorbird.models.ranker.training import _Net, kept_epoch, train_ranker
from tailorbird.recipes.recipe import RankerRecipe

RECIPE = RankerRecipe(hidden=8, epochs=10, learning_rate=1e-2, dropout=0.0)
SOURCES, CANDIDATES = 2, 12


def _slates(count: int, seed: int) -> Slates:
    """The taken item has the best signal of source 0, or, for users of kind 1, the lowest item feature."""
    rng = np.random.default_rng(seed)
    signals = rng.normal(size=(count, CANDIDATES, 3 * SOURCES)).astype(np.float32)
    item = rng.normal(3.0, 2.0, size=(count, CANDIDATES, 4)).astype(np.float32)
    kind = rng.integers(2, size=count)
    wanted = np.where(kind == 0, signals[:, :, 0].argmax(1), item[:, :, 2].argmin(1))
    for table in (signals, item):
        here = np.arange(count)
        table[here, 0], table[here, wanted] = table[here, wanted].copy(), table[here, 0].copy()
    real = np.ones((count, CANDIDATES), bool)
    real[:, -2:] = rng.random((count, 2)) < 0.5
    user = np.stack([kind, np.full(count, 7.0)], axis=1).astype(np.float32)  # the second is constant
    cross = rng.normal(size=(count, CANDIDATES, 3)).astype(np.float32)
    return Slates(signals, item, cross, user, rng.normal(size=(count, 2)).astype(np.float32), real)


def _inputs(slates: Slates, row: int) -> Inputs:
    return Inputs(*(getattr(slates, name)[row] for name in ("signals", "item", "cross", "user", "context")))


def _first(ranker: Ranker, slates: Slates) -> float:
    tops = [
        np.argmax(ranker.score_inputs(_inputs(slates, row))[slates.real[row]]) for row in range(len(slates))
    ]
    return float(np.mean(np.array(tops) == 0))


def test_the_ranker_learns_that_users_differ() -> None:
    ranker, curves = train_ranker(
        _slates(3000, 0), sources=SOURCES, recipe=RECIPE, seed=0, validation=_slates(300, 1)
    )
    fresh = _slates(400, 2)
    assert _first(ranker, fresh) > 0.75
    assert _first(Ranker.of_sources(SOURCES, _sizes(fresh)), fresh) < 0.45  # signals alone cannot
    assert curves["validation_loss"][-1] < curves["validation_loss"][0]


def _sizes(slates: Slates) -> dict[str, int]:
    return {name: getattr(slates, name).shape[-1] for name in ("signals", "item", "cross", "user", "context")}


def test_the_exported_ranker_scores_as_the_network_does() -> None:
    slates = _slates(64, 3)
    torch.manual_seed(0)
    net = _Net(slates, sources=SOURCES, hidden=8, dropout=0.3).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter))
        expected = net(slates).numpy()
    ranker = net.export()
    for row in range(len(slates)):
        real = slates.real[row]
        np.testing.assert_allclose(
            ranker.score_inputs(_inputs(slates, row))[real], expected[row][real], rtol=1e-3, atol=1e-3
        )


def test_features_out_of_all_bounds_are_held() -> None:
    slates = _slates(500, 4)
    ranker, _ = train_ranker(slates, sources=SOURCES, recipe=RECIPE, seed=0)
    calm = _inputs(slates, 0)
    far = Inputs(calm.signals, calm.item, calm.cross, np.array([1e9, 1e9], np.float32), calm.context)
    edge = Inputs(calm.signals, calm.item, calm.cross, np.array([50.0, 7.0], np.float32), calm.context)
    np.testing.assert_array_equal(ranker.score_inputs(far), ranker.score_inputs(edge))


def test_no_slates_leave_the_mean_of_the_sources() -> None:
    none = _slates(5, 0).where(np.zeros(5, bool))
    ranker, curves = train_ranker(none, sources=SOURCES, recipe=RECIPE, seed=0)
    assert curves == {}
    inputs = _inputs(_slates(5, 0), 0)
    np.testing.assert_allclose(ranker.score_inputs(inputs), inputs.signals[:, :2].mean(1), rtol=1e-6)


def test_a_ranker_survives_the_disk(tmp_path: Path) -> None:
    slates = _slates(200, 5)
    ranker, _ = train_ranker(slates, sources=SOURCES, recipe=RECIPE, seed=0)
    ranker.save(tmp_path)
    inputs = _inputs(slates, 1)
    np.testing.assert_array_equal(Ranker.load(tmp_path).score_inputs(inputs), ranker.score_inputs(inputs))


def test_the_kept_epoch_is_the_first_with_the_lowest_loss() -> None:
    """Its figure is the one that is reported, though a later epoch put more targets on top."""
    assert kept_epoch({"loss": [3, 2, 1], "validation_loss": [0.9, 0.5, 0.5]}) == 1
    assert kept_epoch({"loss": [3.0, 2.0, 1.0]}) == 2


def test_a_ranker_goes_on_from_what_it_knows_and_never_gets_worse_on_validation() -> None:
    first, _ = train_ranker(
        _slates(2000, 0), sources=SOURCES, recipe=RECIPE, seed=0, validation=_slates(300, 1)
    )
    few, newer = _slates(64, 4), _slates(300, 1)
    net = _Net.going_on(first, few, sources=SOURCES, dropout=0.0).eval()
    again = net.export()
    for row in range(len(few)):
        np.testing.assert_allclose(
            again.score_inputs(_inputs(few, row)), first.score_inputs(_inputs(few, row)), rtol=1e-3, atol=1e-3
        )
    mistaught = replace(few, signals=-few.signals)
    kept, _ = train_ranker(mistaught, sources=SOURCES, recipe=RECIPE, seed=0, validation=newer, parent=first)
    for row in range(20):
        np.testing.assert_allclose(
            kept.score_inputs(_inputs(few, row)), first.score_inputs(_inputs(few, row)), rtol=1e-3, atol=1e-3
        )
    taught, _ = train_ranker(
        _slates(3000, 5), sources=SOURCES, recipe=RECIPE, seed=0, validation=newer, parent=first
    )
    assert _first(taught, _slates(400, 2)) >= _first(first, _slates(400, 2)) - 0.03
    assert np.abs(taught.blend - first.blend).max() > 1e-3
