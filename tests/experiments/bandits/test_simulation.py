"""Simulated bandits: of what is the same few are called different, intervals cover what was planted, and less is lost than by a split."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import binom

from tailorbird.experiments.bandits.bench import bandit as bench
from tailorbird.experiments.bandits.bench import sure_after
from tailorbird.experiments.bandits.simulation import BY_DEVICE, Sessions, play, read
from tailorbird.experiments.design.bandit import Bandit
from tests.proving import tries

PERIODS, UNITS = 10, 400
_rng = np.random.default_rng(3)
SESSIONS = Sessions((_rng.random(8_000) < 0.2).astype(float), _rng.integers(0, 2, 8_000))
LINUCB = Bandit("linucb", context=BY_DEVICE)
TRIALS = tries(60, 700)
MOST = int(binom.ppf(0.9999, TRIALS, 0.05))
"""Tests of nothing that may be called different, of all."""


@pytest.mark.parametrize("wanted", [Bandit(), LINUCB], ids=["thompson", "linucb"])
def test_of_what_is_the_same_few_are_called_different(wanted: Bandit) -> None:
    chances = SESSIONS.chances([(0, 0), (0, 0)])
    planned = looked = 0
    for trial in range(TRIALS):
        rng = np.random.default_rng([1, trial])
        played = play(wanted, SESSIONS, chances, periods=PERIODS, units=UNITS, rng=rng)
        row = read(played, until=PERIODS, names=["a", "b"], looking=False).metrics[0].rows[1]
        assert row.adjusted_p is not None
        planned += row.adjusted_p < 0.05
        looked += sure_after(played, PERIODS, variants=2) is not None
    assert planned <= MOST
    assert looked <= MOST


def test_intervals_cover_what_was_planted_and_plain_means_are_off() -> None:
    """Thompson keeps little of what began badly: the plain mean of the control is too low, the weighted one is not."""
    chances = SESSIONS.chances([(0, 0), (0, 0), (0.1, 0.1)])
    truth = chances.mean(axis=0)
    covered, plain, weighed = 0, [], []
    for trial in range(TRIALS):
        rng = np.random.default_rng([2, trial])
        played = play(Bandit(), SESSIONS, chances, periods=PERIODS, units=UNITS, rng=rng)
        control, _, row = read(played, until=PERIODS, names=["a", "b", "c"], looking=False).metrics[0].rows
        assert row.comparison is not None
        assert row.comparison.difference_interval is not None
        low, high = row.comparison.difference_interval
        covered += low <= truth[2] - truth[0] <= high
        plain.append(float(played.observed.values["bought"][played.observed.codes == 0].mean()) - truth[0])
        weighed.append(control.estimate.mean - truth[0])
    assert covered >= binom.ppf(0.0001, TRIALS, 0.95)
    error = np.std(weighed) / np.sqrt(TRIALS)
    assert abs(np.mean(weighed)) < 4 * error
    assert np.mean(plain) < np.mean(weighed)


def test_each_loses_less_than_the_split_where_it_can() -> None:
    one_best = SESSIONS.chances([(0, 0), (0.4, 0.4), (0.2, 0.2)])
    apart = SESSIONS.chances([(0, 0), (0.5, -0.5)])

    def lost(wanted: Bandit | None, chances: np.ndarray) -> float:
        return sum(
            play(
                wanted, SESSIONS, chances, periods=PERIODS, units=UNITS, rng=np.random.default_rng(n)
            ).lost.sum()
            for n in range(4)
        )

    assert lost(Bandit(), one_best) < 0.7 * lost(None, one_best)
    assert lost(LINUCB, apart) < 0.6 * lost(None, apart)


def test_every_part_keeps_the_floor_and_late_rewards_are_waited_for() -> None:
    chances = SESSIONS.chances([(0, 0), (1.0, 1.0)])
    played = play(Bandit(floor=0.1), SESSIONS, chances, periods=5, units=2_000, rng=np.random.default_rng(0))
    assert played.parts[:2].tolist() == [[[0.5, 0.5]]] * 2  # at the second period nothing is complete
    assert played.parts[2:].tolist() == [[[0.1, 0.9]]] * 3
    again = play(Bandit(floor=0.1), SESSIONS, chances, periods=5, units=2_000, rng=np.random.default_rng(0))
    assert np.array_equal(again.observed.codes, played.observed.codes)


def test_the_command_says_what_each_loses() -> None:
    said = CliRunner().invoke(
        bench,
        ["--size", "100", "--periods", "4", "--units", "200", "--trials", "2", "--json"],
        catch_exceptions=False,
    )
    assert said.exit_code == 0
    found = json.loads(said.stdout)
    assert found["sessions"] > 100
    assert found["one best of four"]["split"]["of_split"] == 1.0
    assert found["another on each device"]["linucb"]["lost_per_1000"] >= 0
