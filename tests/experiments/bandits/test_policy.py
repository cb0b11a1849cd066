"""What variants get is a pure function of what was counted: floors hold, parts add up, and the better one grows."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailorbird.experiments.bandits.cells import OTHER, Cells
from tailorbird.experiments.bandits.policy import LEAST_UNITS, SUMS, allocations_of, counted_of
from tailorbird.experiments.design.bandit import HOUR, SCENARIO, SEGMENT, Bandit
from tailorbird.experiments.running.assigning import Asker
from tailorbird.experiments.statistics.bayesian import best_of_means
from tailorbird.experiments.statistics.frequentist import share

DEVICES = {"device": ("mobile", "desktop")}


def sums_of(successes: Any, units: Any) -> np.ndarray:
    """(periods, cells, variants, SUMS) of units that succeed or not."""
    hits, count = np.asarray(successes, float), np.asarray(units, float)
    return np.stack([count, hits, count, hits, hits, count], axis=-1)


def parts(bandit: Bandit, sums: np.ndarray, *, lower_is_better: bool = False) -> np.ndarray:
    variants = sums.shape[2]
    counted = counted_of(bandit, sums)
    found = allocations_of(
        bandit, counted, weights=[1 / variants] * variants, lower_is_better=lower_is_better
    )
    return np.array(found)


def test_thompson_gives_each_its_chance_to_be_the_best() -> None:
    found = parts(Bandit(floor=0.01), sums_of([[[60, 75]]], [[[500, 500]]]))[0]
    best = best_of_means([share(60, 500), share(75, 500)])
    assert best is not None
    assert found[1] == pytest.approx(0.01 + 0.98 * best[1], abs=0.01)


def test_thompson_of_what_should_be_low_turns_round() -> None:
    sums = sums_of([[[60, 75]]], [[[500, 500]]])
    high, low = parts(Bandit(), sums)[0], parts(Bandit(), sums, lower_is_better=True)[0]
    assert high[1] > 0.7
    assert low == pytest.approx(high[::-1], abs=0.02)


def test_a_good_day_is_no_variants_merit() -> None:
    """Both variants are alike within each day; b had most of the day on which everybody clicked twice as much."""
    found = parts(Bandit(), sums_of([[[90, 10]], [[20, 180]]], [[[900, 100]], [[100, 900]]]))[0]
    assert found == pytest.approx([0.5, 0.5], abs=0.02)


def test_a_good_day_is_no_variants_merit_in_any_context_either() -> None:
    """Both variants are alike in three contexts; b had most of the day on which ten in a hundred more clicked."""
    hits = [[[90, 10], [180, 20], [45, 5]], [[20, 180], [30, 270], [10, 90]]]
    units = [[[900, 100], [900, 100], [450, 50]], [[100, 900], [100, 900], [50, 450]]]
    bandit = Bandit("linucb", context=DEVICES)
    counted = counted_of(bandit, sums_of(hits, units))
    means = np.array(counted["value"]) / np.array(counted["per"])
    assert means == pytest.approx(np.array([[0.1, 0.1], [0.2, 0.2], [0.1, 0.1]]), abs=0.003)


@pytest.mark.parametrize("bandit", [Bandit(), Bandit("linucb", context=DEVICES)], ids=["thompson", "linucb"])
def test_what_is_folded_is_as_if_it_were_counted_now(bandit: Bandit) -> None:
    rng = np.random.default_rng(5)
    units = rng.integers(200, 400, (40, bandit.cells, 2)).astype(float)
    rates = np.array([0.2, 0.24]) * rng.uniform(0.7, 1.3, (40, 1, 1))
    sums = sums_of(rng.binomial(units.astype(int), rates), units)
    folded, sizes = None, []
    for at in range(38):
        folded = json.loads(json.dumps(counted_of(bandit, sums[at : at + 1], folded)))
        sizes.append(len(json.dumps(folded)))
    found, whole = counted_of(bandit, sums[38:], folded), counted_of(bandit, sums)
    assert found.keys() == whole.keys()
    assert max(sizes) < 1.2 * sizes[1]
    for name in ("periods", "units", "total", "weight"):
        assert found[name] == pytest.approx(whole[name])
    close = {"thompson": ("precision", "weighted"), "linucb": ("per", "value")}[bandit.policy]
    for name in close:
        assert np.array(found[name]) == pytest.approx(np.array(whole[name]), rel=0.05)


def test_linucb_gives_each_context_its_own_best() -> None:
    sums = sums_of([[[100, 200], [200, 100], [50, 50]]], [[[1_000, 1_000]] * 2 + [[500, 500]]])
    found = parts(Bandit("linucb", context=DEVICES), sums)
    assert found[0].tolist() == [0.05, 0.95]
    assert found[1].tolist() == [0.95, 0.05]


def test_linucb_tries_what_it_knows_little_of() -> None:
    sums = sums_of([[[400, 19], [400, 400], [0, 0]]], [[[4_000, 200], [4_000, 4_000], [1, 1]]])
    careful = parts(Bandit("linucb", width=0.0, context=DEVICES), sums)
    hopeful = parts(Bandit("linucb", width=3.0, context=DEVICES), sums)
    assert careful[0].tolist() == [0.95, 0.05]
    assert hopeful[0].tolist() == [0.05, 0.95]


def test_before_there_are_enough_everybody_gets_what_was_declared() -> None:
    few = sums_of([[[0, LEAST_UNITS - 1]]], [[[1_000, LEAST_UNITS - 1]]])
    assert parts(Bandit(), few).tolist() == [[0.5, 0.5]]
    nothing = sums_of([[[0, 0]]], [[[1_000, 1_000]]])
    assert parts(Bandit(), nothing).tolist() == [[0.5, 0.5]]


COUNTS = st.tuples(st.integers(0, 400), st.floats(0, 1)).map(lambda each: (round(each[0] * each[1]), each[0]))


@st.composite
def counts(draw: st.DrawFn, *, cells: int) -> np.ndarray:
    variants, periods = draw(st.integers(2, 5)), draw(st.integers(1, 3))
    found = np.array([draw(COUNTS) for _ in range(periods * cells * variants)])
    hits, units = found.reshape(periods, cells, variants, 2).transpose(3, 0, 1, 2)
    return sums_of(hits, units)


@given(st.data(), st.sampled_from([1, 3]), st.floats(0.01, 0.2), st.booleans())
def test_floors_hold_parts_add_up_and_the_ledger_says_the_same_again(
    data: st.DataObject, cells: int, floor: float, lower_is_better: bool
) -> None:
    sums = data.draw(counts(cells=cells))
    bandit = Bandit(floor=floor) if cells == 1 else Bandit("linucb", floor=floor, context=DEVICES)
    assert sums.shape[-1] == SUMS
    counted = counted_of(bandit, sums)
    weights = [1 / sums.shape[2]] * sums.shape[2]
    found = allocations_of(bandit, counted, weights=weights, lower_is_better=lower_is_better)
    assert np.shape(found) == (cells, sums.shape[2])
    assert np.sum(found, axis=1) == pytest.approx(np.ones(cells), abs=1e-9)
    assert np.min(found) >= floor - 1e-6
    again = json.loads(json.dumps(counted))
    assert allocations_of(bandit, again, weights=weights, lower_is_better=lower_is_better) == found


def test_a_cell_is_what_the_request_says_of_itself() -> None:
    context = {
        "device": ("mobile", "desktop"),
        SEGMENT: ("cooks",),
        SCENARIO: ("home",),
        HOUR: (0, 8, 18),
        "member": (True,),
    }
    cells = Cells(Bandit("linucb", context=context))
    assert cells.count == 3 * 2 * 2 * 3 * 2
    asker = Asker(
        scenario="home",
        context={"device": "desktop", "member": True},
        segments=("cooks",),
        at=1_700_000_000.0,  # 22:13 UTC
    )
    assert cells.label(cells.cell(asker)) == (
        "device = desktop, segment = cooks, scenario = home, hour = 18, member = True"
    )
    other = Asker(context={"device": "watch", "member": 1}, at=3_600.0)
    assert cells.label(cells.cell(other)) == (
        f"device = {OTHER}, segment = {OTHER}, scenario = {OTHER}, hour = 0, member = {OTHER}"
    )


def test_features_tell_every_cell_from_every_other() -> None:
    cells = Cells(Bandit("linucb", context={"device": ("mobile", "desktop"), HOUR: (0, 12)}))
    assert len(np.unique(cells.features, axis=0)) == cells.count == 6
    assert cells.features.shape == (6, 1 + 2 + 1)
