"""Sequential, Bayesian, sample-ratio, multiplicity and power figures: beside libraries, closed forms and each other."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import betaln
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import power_proportions_2indep

from tailorbird.experiments import off_policy, reading, statistics
from tailorbird.experiments.statistics.bayesian import best_of_means, best_of_proportions
from tailorbird.experiments.statistics.frequentist import Estimate
from tailorbird.experiments.statistics.multiplicity import benjamini_hochberg, holm
from tailorbird.experiments.statistics.power import (
    days_needed,
    power,
    smallest_effect,
    units_for_proportion,
    units_needed,
)
from tailorbird.experiments.statistics.sequential import (
    FIRST_LOOK,
    always_valid_interval,
    always_valid_p_value,
    sequence_width,
)
from tailorbird.experiments.statistics.srm import sequential_srm, srm_p_value

MODULES = [
    f"{room.__name__}.{each.name}"
    for room in (statistics, reading, off_policy)
    for each in pkgutil.iter_modules(room.__path__)
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_are_true(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.failed == 0


def test_the_pages_of_statistics_have_examples() -> None:
    counts = [doctest.testmod(importlib.import_module(name)).attempted for name in MODULES]
    assert sum(count > 0 for count in counts) >= 8


@settings(max_examples=15)  # theirs takes its time
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_adjusted_p_values_are_those_of_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])
    assert benjamini_hochberg(p_values) == pytest.approx(multipletests(p_values, method="fdr_bh")[1])


@given(
    z=st.floats(-6, 6),
    units=st.integers(FIRST_LOOK, 1_000_000),
    tuned=st.integers(100, 1_000_000),
    confidence=st.sampled_from([0.9, 0.95, 0.99]),
)
def test_the_always_valid_p_value_and_its_interval_agree(
    z: float, units: int, tuned: int, confidence: float
) -> None:
    arms = Estimate(10.0, 0.005, units), Estimate(10.0 + z * 0.1, 0.005, units)
    interval, lift = always_valid_interval(*arms, tuned_units=tuned, confidence=confidence)
    p_value = always_valid_p_value(*arms, tuned_units=tuned, confidence=confidence)
    if abs(p_value - (1 - confidence)) > 1e-9:
        assert (not interval[0] <= 0 <= interval[1]) == (p_value < 1 - confidence)
        assert (not lift[0] <= 0 <= lift[1]) == (p_value < 1 - confidence)
    fixed = 2 * stats.norm.sf(abs(z))
    assert p_value >= fixed


def test_a_sequence_is_narrowest_where_it_was_tuned() -> None:
    at = [sequence_width(5_000, tuned_units=tuned) for tuned in (500, 5_000, 50_000)]
    assert min(at) == at[1]
    assert at[1] > stats.norm.ppf(0.975)


def test_nothing_is_concluded_before_the_first_look() -> None:
    few = Estimate(0.0, 0.01, FIRST_LOOK - 1), Estimate(9.0, 0.01, FIRST_LOOK)
    assert always_valid_p_value(*few) is None
    assert always_valid_interval(*few) == (None, None)


def test_two_normal_arms_are_best_by_the_closed_form() -> None:
    arms = [Estimate(1.0, 0.04, 10), Estimate(1.3, 0.01, 10)]
    wins = stats.norm.cdf(0.3 / np.sqrt(0.05))
    assert best_of_means(arms) == pytest.approx([1 - wins, wins], abs=1e-6)
    assert best_of_means(arms, lower_is_better=True) == pytest.approx([wins, 1 - wins], abs=1e-6)


def test_two_beta_arms_are_best_by_the_closed_form() -> None:
    hits, units = [12, 20], [100, 110]
    (a, b), (c, d) = [(h + 1, n - h + 1) for h, n in zip(hits, units, strict=True)]
    # Miller (2015): the chance that the second beta is larger.
    wins = sum(
        np.exp(betaln(a + i, b + d) - np.log(d + i) - betaln(1 + i, d) - betaln(a, b)) for i in range(c)
    )
    assert best_of_proportions(hits, units) == pytest.approx([1 - wins, wins], abs=1e-6)


def test_three_arms_are_best_as_often_as_draws_say() -> None:
    rng = np.random.default_rng(0)
    hits, units = [30, 36, 33], [200, 210, 190]
    draws = np.stack([rng.beta(h + 1, n - h + 1, 400_000) for h, n in zip(hits, units, strict=True)])
    often = np.bincount(draws.argmax(axis=0), minlength=3) / 400_000
    assert best_of_proportions(hits, units) == pytest.approx(often, abs=0.004)


def test_the_sequential_sample_ratio_is_a_bayes_factor() -> None:
    due, counts = np.array([0.7, 0.3]), np.array([40, 60])
    prior = 1_000 * due
    factor = betaln(*(prior + counts)) - betaln(*prior) - (counts * np.log(due)).sum()
    assert sequential_srm(counts, [7, 3])[-1] == pytest.approx(np.exp(-factor))
    falling = sequential_srm(np.array([[10, 90], [500, 500], [700, 300]]), [7, 3])
    assert (np.diff(falling) <= 0).all()  # an alarm stays, whatever comes after
    assert srm_p_value([40, 60], [7, 3]) == pytest.approx(stats.chisquare([40, 60], [70, 30]).pvalue)


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_power_is_that_of_statsmodels(share: float) -> None:
    units = units_needed(0.1, control_variance=1.0, treatment_variance=1.0, share=share)
    ratio = share / (1 - share)
    first = NormalIndPower().solve_power(effect_size=0.1, alpha=0.05, power=0.8, ratio=ratio)
    assert units == pytest.approx(first * (1 + ratio), rel=1e-3)
    reached = power(
        0.1,
        control_variance=1.0,
        treatment_variance=1.0,
        control_units=units * (1 - share),
        treatment_units=units * share,
    )
    assert reached == pytest.approx(0.8, abs=1e-3)
    error = np.sqrt(1 / (units * (1 - share)) + 1 / (units * share))
    assert smallest_effect(error) == pytest.approx(0.1, rel=1e-3)


def test_units_of_a_proportion_have_the_power_that_statsmodels_says() -> None:
    units = units_for_proportion(0.05, lift=0.1)
    assert power_proportions_2indep(0.005, 0.05, units / 2).power == pytest.approx(0.8, abs=0.002)
    with pytest.raises(ValueError, match="no proportion"):
        units_for_proportion(0.6, lift=1.0)


def test_days_follow_how_many_come_for_the_first_time() -> None:
    assert days_needed(1_600, new_units=[1_000, 600, 400]) == 2
    assert days_needed(1_601, new_units=[1_000, 600, 400]) == 3
    assert days_needed(2_801, new_units=[1_000, 600, 400]) == 6
    assert days_needed(2_000, new_units=[1_000, 0]) is None
