import numpy as np
import pytest

from tailorbird.evaluation.bootstrap import clustered_intervals, paired_difference


def test_a_constant_has_an_interval_of_no_width() -> None:
    (interval,) = clustered_intervals(np.full((50, 1), 0.25), clusters=np.arange(50) % 7)
    assert interval.mean == interval.low == interval.high == pytest.approx(0.25)


def test_the_interval_of_independent_cases_matches_the_normal_one() -> None:
    values = np.random.default_rng(3).normal(size=(2000, 1))
    (interval,) = clustered_intervals(values, clusters=np.arange(2000), draws=2000)
    half = 1.96 * values.std() / np.sqrt(2000)
    assert interval.high - interval.mean == pytest.approx(half, rel=0.12)
    assert interval.mean - interval.low == pytest.approx(half, rel=0.12)


def test_cases_of_one_user_hang_together() -> None:
    """100 users whose 20 cases are all alike carry the information of 100 cases, not of 2,000."""
    users = np.repeat(np.arange(100), 20)
    values = np.random.default_rng(4).normal(size=100)[users][:, None]
    (clustered,) = clustered_intervals(values, clusters=users)
    (alone,) = clustered_intervals(values, clusters=np.arange(2000))
    ratio = (clustered.high - clustered.low) / (alone.high - alone.low)
    assert ratio == pytest.approx(np.sqrt(20), rel=0.2)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for run in range(200):
        users = np.repeat(np.arange(80), 5)
        values = (rng.normal(size=80)[users] + rng.normal(size=400))[:, None]
        (interval,) = clustered_intervals(values, clusters=users, draws=400, seed=run)
        covered += interval.low <= 0 <= interval.high
    assert 0.88 <= covered / 200 <= 0.99


def test_missing_values_are_left_out() -> None:
    values = np.array([[1.0, 5.0], [np.nan, 5.0], [3.0, np.nan]])
    first, second = clustered_intervals(values, clusters=np.arange(3))
    assert first.mean == 2
    assert second.mean == second.low == second.high == 5


def test_nothing_to_average_is_not_a_number() -> None:
    (interval,) = clustered_intervals(np.zeros((0, 1)), clusters=np.zeros(0))
    assert np.isnan([interval.mean, interval.low, interval.high]).all()


def test_a_paired_difference_sees_what_two_intervals_hide() -> None:
    rng = np.random.default_rng(6)
    champion = rng.normal(size=500)
    challenger = champion + 0.05 + rng.normal(size=500) * 0.1
    interval = paired_difference(challenger, champion, clusters=np.arange(500))
    assert interval.low > 0
    one, other = clustered_intervals(np.stack([champion, challenger], 1), clusters=np.arange(500))
    assert one.high > other.low
