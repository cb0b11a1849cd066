"""How much each single event speaks for each behaviour: what a detector of planted changes would sum up, did it know them."""

from itertools import pairwise

import numpy as np

from tailorbird.simulator.behaviours import ACTIVITY_SHAPE, BEHAVIOURS, OWN_HOUR, SESSION_HOUR
from tailorbird.simulator.evidence import OWN_PRICE, PRICE_SPREAD, Evidence, declared
from tailorbird.simulator.goods import DAY
from tailorbird.simulator.sessions import met_before, observe
from tailorbird.simulator.shop import SPAN_DAYS, Shop
from tailorbird.simulator.visits import ACTION_TYPES, CLICK, LOOK

BEGIN = END = len(ACTION_TYPES)
"""Beside the actions: what stands before the first of a session, and after its last."""


def event_log_likelihoods(shop: Shop) -> np.ndarray:
    """(n_events, n_behaviours) log likelihood of each event after those before it, in the order of ``shop.visits``.

    ``np.argsort(shop.visits.at, kind="stable")`` brings the rows into the order of ``shop.events()``. An event speaks by its
    type after the one before, by whether the item was met before, and by the clicked price; the first of a session also by the
    end of the session before, the time since then, hour, weekday, device and referrer. What is a person's own is averaged out event by
    event: how types follow each other is measured on the shop with its truth, like the rest of ``Evidence``.

    Raises UsageError where no behaviours are planted.
    """
    shop.behaviour_at([], shop.end)
    visits, evidence = shop.visits, Evidence.of(shop)
    label = shop.truth.conducts.behaviour_at(visits.user, visits.at / 1e6)
    first = np.flatnonzero(np.diff(visits.session, prepend=-1))
    last = np.append(first[1:], len(visits.at)) - 1
    before = np.append(BEGIN, visits.action[:-1])
    before[first] = BEGIN
    follows = np.ones((len(BEHAVIOURS), BEGIN + 1, END + 1))
    np.add.at(follows, (label, before, visits.action), 1.0)
    np.add.at(follows, (label[last], visits.action[last], END), 1.0)
    follows = np.log(follows / follows.sum(axis=2, keepdims=True))
    result: np.ndarray = follows[:, before, visits.action].T.copy()

    touched = (visits.action == LOOK) | (visits.action == CLICK)
    again = met_before(visits)[touched, None]
    result[touched] += np.where(again, np.log(evidence.revisit), np.log1p(-evidence.revisit))
    clicked = visits.action == CLICK
    level = shop.truth.goods.price_level[visits.item[clicked], None]
    result[clicked] += -0.5 * (level - evidence.price) ** 2 / (OWN_PRICE**2 + PRICE_SPREAD**2)

    goes_on = np.append(False, np.diff(visits.user[first]) == 0)  # the user had a session before
    ended = visits.action[last[:-1]][goes_on[1:]]
    result[first] += _visits(shop, goes_on)
    result[first[goes_on]] += follows[:, ended, END].T
    return result


def log_likelihood_ratio(shop: Shop, *, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """(n_events,) how much each event of ``shop.visits`` speaks for its user's ``new`` behaviour (n_users,) against the ``old``."""
    likelihoods, user = event_log_likelihoods(shop), shop.visits.user
    rows = np.arange(len(user))
    ratio: np.ndarray = likelihoods[rows, new[user]] - likelihoods[rows, old[user]]
    return ratio


def cusum(shop: Shop, ratios: np.ndarray) -> np.ndarray:
    """(n_events,) Page's statistic after each event of ``shop.visits``: a change is noticed where it exceeds a threshold."""
    statistic = np.empty(len(ratios))
    stops = np.searchsorted(shop.visits.user, np.arange(shop.size + 1))
    for low, high in pairwise(stops):
        total = ratios[low:high].cumsum()
        statistic[low:high] = total - np.minimum(np.minimum.accumulate(total), 0.0)
    return statistic


def _visits(shop: Shop, goes_on: np.ndarray) -> np.ndarray:
    """(n_sessions, n_behaviours) log likelihood of when and how each session comes."""
    sessions = observe(shop, since=shop.truth.start, until=np.inf)
    spread = np.hypot(OWN_HOUR, SESSION_HOUR)
    apart = (sessions.hour[:, None] - declared("hour") + 12.0) % 24.0 - 12.0
    came = -0.5 * (apart / spread) ** 2
    for chance, hit in ((declared("weekend"), sessions.weekend), (declared("mobile"), sessions.mobile == 1)):
        came += np.where(hit[:, None], np.log(chance), np.log1p(-chance))
    came += np.log(declared("referrers"))[:, sessions.referrer].T
    # Waiting times are exponential with a rate that is Gamma-distributed over people: Lomax.
    earlier = np.where(
        goes_on, np.append(0.0, sessions.began[:-1]), shop.truth.people.joined_at[sessions.user]
    )
    waited = np.maximum(sessions.began - earlier, 0.0)[:, None]
    rate = declared("sessions") / (SPAN_DAYS * DAY)
    came += np.log(rate) - (ACTIVITY_SHAPE + 1) * np.log1p(rate * waited / ACTIVITY_SHAPE)
    return came
