"""The detector that knows the planted behaviours: single events speak for who did them, and a change adds up."""

import numpy as np
import pytest

from tailorbird.errors import UsageError
from tailorbird.simulator.behaviours import NAMES
from tailorbird.simulator.change_oracle import cusum, event_log_likelihoods, log_likelihood_ratio
from tailorbird.simulator.shop import Shop


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop.make(600, 4, behaviours=True)


def test_events_speak_for_the_behaviour_they_come_from(shop: Shop) -> None:
    likelihoods = event_log_likelihoods(shop)
    assert likelihoods.shape == (len(shop.visits.at), len(NAMES))
    assert np.isfinite(likelihoods).all()
    label = shop.truth.conducts.behaviour_at(shop.visits.user, shop.visits.at / 1e6)
    for kind in range(len(NAMES)):
        assert likelihoods[label == kind].mean(axis=0).argmax() == kind


def test_a_session_begins_with_what_tells_of_hour_device_and_referrer(shop: Shop) -> None:
    visits = shop.visits
    night = NAMES.index("returns nightly")
    spread = event_log_likelihoods(shop).std(axis=1)
    first = np.diff(visits.session, prepend=-1) != 0
    assert spread[first].mean() > 3 * spread[~first].mean()
    lead = event_log_likelihoods(shop)[:, night] - event_log_likelihoods(shop)[:, NAMES.index("buys luxury")]
    late = visits.at // 3_600_000_000 % 24 >= 22
    assert lead[first & late & (visits.mobile == 1)].mean() > 3
    assert lead[first & ~late & (visits.mobile == 0)].mean() < -3


def test_page_s_statistic_rises_after_a_planted_change_and_not_before(shop: Shop) -> None:
    conducts, visits = shop.truth.conducts, shop.visits
    old, new = conducts.behaviours.T
    planted = old != new
    statistic = cusum(shop, log_likelihood_ratio(shop, old=old, new=new))
    changed = planted[visits.user] & (visits.at / 1e6 >= conducts.changes_at[visits.user])
    still = planted[visits.user] & ~changed
    assert statistic[~planted[visits.user]].max() == 0.0  # old and new are the same: nothing can be noticed
    assert (statistic >= 0).all()

    def highest(events: np.ndarray) -> np.ndarray:
        peak = np.zeros(shop.size)
        np.maximum.at(peak, visits.user[events], statistic[events])
        return peak[np.bincount(visits.user[events], minlength=shop.size) >= 20]

    after, before = highest(changed), highest(still)
    assert min(len(after), len(before)) >= 15
    assert (after > 10).mean() > 0.8
    assert (before > 10).mean() < 0.2


def test_page_s_statistic_restarts_with_each_user_and_never_falls_below_zero() -> None:
    shop = Shop.make(30, 2, behaviours=True)
    ratios = np.random.default_rng(0).normal(size=len(shop.visits.at))
    expected, total, user = [], 0.0, -1
    for row, ratio in zip(shop.visits.user, ratios, strict=True):
        total = max(0.0, (total if row == user else 0.0) + ratio)
        user = row
        expected.append(total)
    np.testing.assert_allclose(cusum(shop, ratios), expected, atol=1e-9)


def test_a_shop_without_behaviours_has_no_change_to_notice() -> None:
    with pytest.raises(UsageError, match="no planted behaviours"):
        event_log_likelihoods(Shop.make(30, 1))
