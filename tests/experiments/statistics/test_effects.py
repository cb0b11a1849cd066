"""Factors, shrinkage and trends give what statsmodels and plain reasoning give."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.meta_analysis import combine_effects

from tailorbird.experiments.statistics.aggregates import aggregates
from tailorbird.experiments.statistics.factorial import factorial_effects
from tailorbird.experiments.statistics.frequentist import estimates
from tailorbird.experiments.statistics.novelty import lifts_by_day, trend_of
from tailorbird.experiments.statistics.shrinkage import shrunk
from tests.proving import PROVING

FACTORS = {"a": ["x", "y"], "b": ["p", "q", "r"]}
CELLS = [{"a": one, "b": other} for one in FACTORS["a"] for other in FACTORS["b"]]


def test_effects_of_factors_are_those_of_least_squares_over_units() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 6, 900)
    values = rng.gamma(2, 1, 900) + 0.1 * codes + (codes == 5)
    arms = estimates(aggregates(codes, {"value": values}, variants=list("012345")))
    found = factorial_effects([(cell, arms[str(at)]) for at, cell in enumerate(CELLS)], FACTORS)
    a = (codes >= 3) - 1 / 2
    b = [(codes % 3 == level) - 1 / 3 for level in (1, 2)]
    theirs = sm.OLS(values, np.stack([np.ones(900), a, *b, a * b[0], a * b[1]], axis=1)).fit(cov_type="HC2")
    assert [each.effect for each in found.effects] == pytest.approx(theirs.params[1:])
    assert [each.error for each in found.effects] == pytest.approx(theirs.bse[1:])
    assert [each.p_value for each in found.effects] == pytest.approx(theirs.pvalues[1:])
    assert [each.name for each in found.effects][3:] == ["a = y with b = q", "a = y with b = r"]
    assert not found.confounded


def test_a_fraction_tells_main_effects_alone_as_least_squares_does() -> None:
    rng = np.random.default_rng(1)
    factors = {name: ["0", "1"] for name in "abc"}
    signs = np.array([(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)])
    cells = [dict(zip("abc", map(str, row), strict=True)) for row in signs]
    codes = rng.integers(0, 4, 700)
    values = rng.normal(size=700) + 0.5 * signs[codes, 0]
    arms = estimates(aggregates(codes, {"value": values}, variants=list("0123")))
    found = factorial_effects([(cell, arms[str(at)]) for at, cell in enumerate(cells)], factors)
    matrix = np.concatenate([np.ones((700, 1)), signs[codes] - 0.5], axis=1)
    theirs = sm.OLS(values, matrix).fit(cov_type="HC2")
    assert found.confounded
    assert [each.effect for each in found.effects] == pytest.approx(theirs.params[1:])
    assert [each.error for each in found.effects] == pytest.approx(theirs.bse[1:])


def test_cells_that_cannot_tell_main_effects_apart_are_refused() -> None:
    arms = estimates(aggregates(np.array([0, 0, 1, 1]), {"value": np.arange(4.0)}, variants=["0", "1"]))
    cells = [({"a": "x", "b": "p"}, arms["0"]), ({"a": "y", "b": "q"}, arms["1"])]
    with pytest.raises(ValueError, match="cannot tell"):
        factorial_effects(cells, {"a": ["x", "y"], "b": ["p", "q"]})


def test_where_nobody_did_anything_there_is_no_effect_to_tell() -> None:
    codes = np.arange(24) % 6
    arms = estimates(aggregates(codes, {"value": np.zeros(24)}, variants=list("012345")))
    with pytest.raises(ValueError, match="any variance"):
        factorial_effects([(cell, arms[str(at)]) for at, cell in enumerate(CELLS)], FACTORS)


EFFECTS = st.lists(st.tuples(st.floats(-1, 1), st.floats(0.01, 0.5)), min_size=2, max_size=8)


@given(EFFECTS)
def test_shrunk_effects_lie_between_themselves_and_the_others(drawn: list[tuple[float, float]]) -> None:
    effects, errors = map(list, zip(*drawn, strict=True))
    found = shrunk(effects, errors)
    low, high = min(effects), max(effects)
    for own, one in zip(effects, found.effects, strict=True):
        assert low - 1e-9 <= one.effect <= high + 1e-9
        assert 0 <= one.kept <= 1
        assert one.interval[0] < one.effect < one.interval[1]
        assert abs(one.effect - own) <= high - low + 1e-9


@pytest.mark.parametrize("spread", [0.0, 1.0, 2.0, 4.0])
def test_shrunk_intervals_cover_what_they_say_however_far_true_effects_lie_apart(spread: float) -> None:
    rng, tests = np.random.default_rng(8), 6_000 if PROVING else 300
    true = 0.1 + spread * rng.standard_normal((tests, 6))
    inside = [
        low <= effect <= high
        for own in true
        for effect, each in zip(own, shrunk(own + rng.standard_normal(6), np.ones(6)).effects, strict=True)
        for low, high in [each.interval]
    ]
    assert np.mean(inside) >= (0.945 if PROVING else 0.935)
    assert np.mean(inside) <= (0.96 if spread >= 2 else 1.0)


def test_a_segment_that_is_known_badly_is_covered_too_where_the_others_are_known_well_and_differ() -> None:
    rng, tests = np.random.default_rng(8), 6_000 if PROVING else 300
    errors, inside = np.array([0.01] * 5 + [0.5]), 0
    for own in 0.1 + 0.5 * rng.standard_normal((tests, 6)):
        low, high = shrunk(own + errors * rng.standard_normal(6), errors).effects[-1].interval
        inside += low <= own[-1] <= high
    assert inside / tests >= (0.94 if PROVING else 0.92)


def test_whether_segments_differ_is_asked_as_statsmodels_asks_it() -> None:
    effects, errors = np.array([0.1, 0.0, 0.2, 0.5]), np.array([0.1, 0.08, 0.1, 0.12])
    assert shrunk(effects, errors).p_value == pytest.approx(
        combine_effects(effects, errors**2, method_re="dl").test_homogeneity().pvalue
    )


def test_the_lift_of_a_day_is_that_of_units_that_had_it_and_its_trend_is_of_units() -> None:
    rng = np.random.default_rng(2)
    units = 3_000
    treated, often = rng.random(units) < 0.5, rng.gamma(1, 1, units)
    exposed = rng.uniform(1, 12, units)
    days = [(rng.poisson(often * np.where(treated, 1.5, 1.0)).astype(float), None) for _ in range(10)]
    found = lifts_by_day(days, treated, exposed)
    there = exposed >= 4
    third = days[3][0]
    assert found[3].units == there.sum()
    assert found[3].lift == pytest.approx(third[there & treated].mean() / third[there & ~treated].mean() - 1)
    trend = trend_of(days, treated, exposed)
    assert trend is not None
    assert trend.days == int(min(np.median(exposed[treated]), np.median(exposed[~treated])))
    doubled = [(np.concatenate([values, values]), None) for values, _ in days]
    twice = trend_of(doubled, np.concatenate([treated] * 2), np.concatenate([exposed] * 2))
    assert twice is not None
    assert (twice.error / trend.error) == pytest.approx(1 / np.sqrt(2), rel=0.01)
    assert twice.slope == pytest.approx(trend.slope)


def test_a_ratio_of_days_is_told_as_a_ratio() -> None:
    rng = np.random.default_rng(3)
    treated = rng.random(2_000) < 0.5
    views = rng.poisson(5, 2_000).astype(float)
    clicks = rng.binomial(views.astype(int), np.where(treated, 0.3, 0.2)).astype(float)
    found = lifts_by_day([(clicks, views)], treated, np.full(2_000, 3.0))[0]
    ratio = [clicks[mask].sum() / views[mask].sum() for mask in (treated, ~treated)]
    assert found.lift == pytest.approx(ratio[0] / ratio[1] - 1)
