"""Fixed-horizon figures are those of scipy, statsmodels and tea-tasting."""

import numpy as np
import pytest
import tea_tasting as tt
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportions_ztest

from tailorbird.experiments.statistics.aggregates import BEFORE, BEFORE_PER, PER, VALUE, aggregates
from tailorbird.experiments.statistics.frequentist import (
    Comparison,
    Estimate,
    compare_means,
    compare_proportions,
    estimates,
    fieller,
    share,
)

WAYS = {"equal_var": False, "use_t": True, "confidence_level": 0.95, "alternative": "two-sided"}


def world(seed: int, units: int = 3_000) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    codes = (rng.random(units) < 0.3).astype(int)
    before_views = rng.poisson(8, units) + 1.0
    before_clicks = rng.binomial(before_views.astype(int), 0.2).astype(float)
    views = before_views + rng.poisson(3, units)
    clicks = np.minimum(views, before_clicks + rng.binomial(4, 0.2 + 0.05 * codes))
    return codes, {VALUE: clicks, PER: views, BEFORE: before_clicks, BEFORE_PER: before_views}


def compared(codes: np.ndarray, columns: dict[str, np.ndarray], *names: str) -> Comparison:
    arms = estimates(aggregates(codes, {name: columns[name] for name in names}, variants=["A", "B"]))
    return compare_means(arms["A"], arms["B"])


@pytest.mark.parametrize("seed", range(5))
def test_means_are_compared_as_scipy_does(seed: int) -> None:
    codes, columns = world(seed)
    ours = compared(codes, columns, VALUE)
    theirs = stats.ttest_ind(columns[VALUE][codes == 1], columns[VALUE][codes == 0], equal_var=False)
    assert ours.p_value == pytest.approx(theirs.pvalue, rel=1e-9)
    assert ours.difference_interval == pytest.approx(tuple(theirs.confidence_interval(0.95)), rel=1e-9)


def test_a_mean_far_from_zero_costs_no_digits() -> None:
    codes, columns = world(3)
    near = compared(codes, columns, VALUE)
    far = compared(codes, {VALUE: columns[VALUE] + 1e9}, VALUE)
    assert far.p_value == pytest.approx(near.p_value, rel=1e-4)


@pytest.mark.parametrize(("hits", "units"), [((100, 120), (1000, 1000)), ((50, 700), (900, 9_000))])
def test_proportions_are_compared_as_statsmodels_does(hits: tuple[int, int], units: tuple[int, int]) -> None:
    ours = compare_proportions(share(hits[0], units[0]), share(hits[1], units[1]))
    assert ours.p_value == pytest.approx(proportions_ztest(hits, units)[1], rel=1e-12)
    table = [[hits[0], units[0] - hits[0]], [hits[1], units[1] - hits[1]]]
    assert ours.p_value == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue, rel=1e-9)
    wald = confint_proportions_2indep(hits[1], units[1], hits[0], units[0], method="wald", compare="diff")
    assert ours.difference_interval == pytest.approx(wald, rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_ratios_and_cuped_are_those_of_tea_tasting(seed: int) -> None:
    codes, columns = world(seed)
    for names, metric in (
        ((VALUE, PER), tt.RatioOfMeans(VALUE, PER, **WAYS)),
        ((VALUE, BEFORE), tt.Mean(VALUE, BEFORE, **WAYS)),
        ((VALUE, PER, BEFORE, BEFORE_PER), tt.RatioOfMeans(VALUE, PER, BEFORE, BEFORE_PER, **WAYS)),
    ):
        groups = aggregates(codes, {name: columns[name] for name in names}, variants=["A", "B"])
        theirs = metric.analyze_aggregates(groups["A"], groups["B"])
        arms = estimates(groups)
        ours = compare_means(arms["A"], arms["B"])
        assert ours.p_value == pytest.approx(theirs.pvalue, rel=1e-9)
        assert ours.difference == pytest.approx(theirs.effect_size, rel=1e-9)
        assert ours.difference_interval[0] == pytest.approx(theirs.effect_size_ci_lower, rel=1e-9)
        # Theirs is by the logarithm, ours by Fieller: the same to first order.
        assert ours.interval == pytest.approx(
            (theirs.rel_effect_size_ci_lower, theirs.rel_effect_size_ci_upper), abs=0.02
        )


def test_a_covariate_saves_what_it_explains() -> None:
    rng = np.random.default_rng(0)
    before = rng.normal(size=20_000)
    value = 0.8 * before + 0.6 * rng.normal(size=20_000)
    arms = estimates(
        aggregates(rng.integers(0, 2, 20_000), {VALUE: value, BEFORE: before}, variants=["A", "B"])
    )
    correlation = np.corrcoef(value, before)[0, 1]
    assert arms["A"].saved == pytest.approx(correlation**2, abs=0.02)


@given(
    base=st.floats(0.1, 10),
    other=st.floats(0.1, 10),
    errors=st.tuples(st.floats(1e-3, 0.5), st.floats(1e-3, 0.5)),
    units=st.tuples(st.integers(30, 10_000), st.integers(30, 10_000)),
)
def test_a_lift_excludes_nothing_exactly_where_the_test_rejects(
    base: float, other: float, errors: tuple[float, float], units: tuple[int, int]
) -> None:
    found = compare_means(Estimate(base, errors[0] ** 2, units[0]), Estimate(other, errors[1] ** 2, units[1]))
    if found.interval is not None and abs(found.p_value - 0.05) > 1e-6:
        assert (not found.interval[0] <= 0 <= found.interval[1]) == (found.p_value < 0.05)
        assert found.interval[0] <= found.lift <= found.interval[1]


def test_no_lift_beside_a_control_that_may_be_nothing() -> None:
    assert fieller(Estimate(0.1, 0.01, 100), Estimate(0.2, 0.01, 100), critical=1.96) is None
    assert fieller(Estimate(-5.0, 0.01, 100), Estimate(5.0, 0.01, 100), critical=1.96) is None


def test_what_does_not_vary_has_no_p_value() -> None:
    found = compare_means(Estimate(1.0, 0.0, 50), Estimate(2.0, 0.0, 50))
    assert (found.p_value, found.interval) == (None, None)
    assert compare_proportions(share(0, 50), share(0, 50)).p_value is None
    codes = np.array([0, 0, 1])
    alone = estimates(aggregates(codes, {VALUE: np.array([1.0, 2.0, 3.0])}, variants=["A", "B"]))
    assert compare_means(alone["A"], alone["B"]).p_value is None
