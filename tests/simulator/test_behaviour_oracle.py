"""The oracle of behaviours: it names most people and not all, and is as sure as it is right."""

import numpy as np
import pytest

from tailorbird.errors import UsageError
from tailorbird.simulator.behaviour_oracle import oracle_accuracy, oracle_labels, posterior
from tailorbird.simulator.behaviours import chances
from tailorbird.simulator.goods import DAY
from tailorbird.simulator.shop import Shop


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop.make(600, 4, behaviours=True)


def test_the_oracle_names_most_people_and_not_all(shop: Shop) -> None:
    assert 0.85 <= oracle_accuracy(shop, since=shop.truth.start, until=shop.end) <= 0.95


def test_the_oracle_is_as_sure_as_it_is_right(shop: Shop) -> None:
    """A probability of 80 % comes true in 80 % of the cases: all that is random is accounted for."""
    sure = posterior(shop, since=shop.truth.start, until=shop.end)
    np.testing.assert_allclose(sure.sum(axis=1), 1.0)
    truth = shop.truth.conducts.behaviour_at(np.arange(shop.size), np.full(shop.size, shop.end))
    right = sure.argmax(axis=1) == truth
    assert abs(right.mean() - sure.max(axis=1).mean()) < 0.04
    doubtful = sure.max(axis=1) < 0.8
    assert abs(right[doubtful].mean() - sure.max(axis=1)[doubtful].mean()) < 0.15
    hits = np.eye(sure.shape[1])[truth]
    np.testing.assert_allclose(sure.mean(axis=0), hits.mean(axis=0), atol=0.03)


def test_who_did_nothing_is_told_by_age_and_gender_and_little_else(shop: Shop) -> None:
    known = shop.users.users
    prior = chances(known["age"].to_numpy(), known["gender"].to_numpy())
    day_before = posterior(shop, since=shop.truth.start - DAY, until=shop.truth.start)
    np.testing.assert_allclose(day_before, prior, atol=0.06)


def test_the_longer_the_oracle_watches_the_more_it_names(shop: Shop) -> None:
    truth = shop.truth.conducts.behaviour_at(np.arange(shop.size), np.full(shop.size, shop.end))
    shares = [
        (oracle_labels(shop, since=shop.end - days * DAY, until=shop.end) == truth).mean()
        for days in (3, 15, 60)
    ]
    assert shares[0] < shares[1] < shares[2]


def test_a_later_change_is_noticed(shop: Shop) -> None:
    """Of those who changed in the middle the oracle tells the earlier behaviour before and the later one at the end."""
    conducts = shop.truth.conducts
    part = (conducts.changes_at - shop.truth.start) / (shop.end - shop.truth.start)
    visits = np.bincount(shop.visits.user, minlength=shop.size)
    changed = np.flatnonzero((part > 0.4) & (part < 0.6) & (visits >= 40))
    assert len(changed) >= 5
    at_end = oracle_labels(shop, since=shop.truth.start, until=shop.end)[changed]
    early = oracle_labels(shop, since=shop.truth.start, until=shop.truth.start + 24 * DAY)[changed]
    assert (at_end == conducts.behaviours[changed, 1]).mean() > 0.6
    assert (early == conducts.behaviours[changed, 0]).mean() > 0.6


def test_a_shop_without_behaviours_has_none_to_name() -> None:
    shop = Shop.make(30, 1)
    with pytest.raises(UsageError, match="no planted behaviours"):
        oracle_labels(shop, since=shop.truth.start, until=shop.end)
