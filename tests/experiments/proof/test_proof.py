"""What the statistics promise holds in simulated shops: a small sample of what `tailorbird bench statistics` runs."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tailorbird.experiments.proof.command import statistics
from tailorbird.experiments.proof.trials import (
    LEVEL,
    fixed_trials,
    looking_trials,
    lost_trials,
    planned_trials,
)
from tailorbird.experiments.proof.world import METRICS, PRIMARY, World, world_of


@pytest.fixture(scope="module")
def worlds() -> list[World]:
    return [world_of(1_000, seed=seed) for seed in (40, 41)]


@pytest.mark.slow
def test_tests_of_nothing_are_called_and_effects_covered_as_often_as_promised(worlds: list[World]) -> None:
    found = fixed_trials(worlds, trials=2_000)
    assert 0.04 <= found.false_positives[PRIMARY] <= 0.06, found
    for name in METRICS:
        assert 0.035 <= found.false_positives[name] <= 0.065, found
        assert 0.94 <= found.covered[name] <= 0.96, found
    assert found.cuped_reported == pytest.approx(1, abs=0.05)
    assert found.cuped_among_trials == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("metric", [PRIMARY, "revenue"])
def test_looking_all_the_time_calls_few_where_intervals_allow_it(worlds: list[World], metric: str) -> None:
    found = looking_trials(worlds, trials=400, metric=metric, units=3_000, tuned_units=500)
    assert found.always_valid[-1] <= LEVEL
    assert found.covered >= 1 - LEVEL
    assert found.always_valid[-1] > 0  # a bound that nothing ever reaches would say nothing
    assert found.fixed[-1] > 0.15


def test_plans_have_the_power_they_say(worlds: list[World]) -> None:
    for metric in (PRIMARY, "clicks"):
        assert planned_trials(worlds, trials=2_000, metric=metric).found == pytest.approx(0.8, abs=0.03)


@pytest.mark.slow
def test_lost_units_are_found_and_sound_assignments_seldom_alarm() -> None:
    found = lost_trials(trials=1_000, lost=0.08)
    assert found.found > 0.95
    assert found.found_looking > 0.9
    assert found.false_alarms == pytest.approx(LEVEL, abs=0.02)
    assert found.false_alarms_looking <= LEVEL


def test_people_of_a_shop_are_counted_as_its_events_say(worlds: list[World]) -> None:
    world = worlds[0]
    assert world.people > 700
    assert set(np.unique(world.columns["bought"])) == {0.0, 1.0}
    assert ((world.columns["revenue"] > 0) <= (world.columns["bought"] == 1)).all()
    assert np.corrcoef(world.columns["clicks"], world.columns["clicks_before"])[0, 1] > 0.3
    moved = world.moved(0.1, rng=np.random.default_rng(0))
    for name in METRICS:
        assert moved.truth(name) / world.truth(name) == pytest.approx(1.1, abs=0.02), name


@pytest.mark.slow
def test_the_command_says_and_draws_it(tmp_path: Path) -> None:
    plot = tmp_path / "looking.png"
    said = CliRunner().invoke(
        statistics,
        ["--trials", "100", "--worlds", "1", "--size", "200", "--logs", "20", "--plot", str(plot), "--json"],
        catch_exceptions=False,
    )
    found = json.loads(said.stdout)
    assert set(found["once"]["false_positives"]) == set(METRICS)
    assert len(found["looking"][PRIMARY]["fixed"]) == len(found["looking"][PRIMARY]["units"])
    assert plot.read_bytes().startswith(b"\x89PNG")
