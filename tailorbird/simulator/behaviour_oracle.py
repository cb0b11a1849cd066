"""The oracle of behaviours: knows how each behaves, and names people by their events alone, at maximum posterior.

It knows neither what a person does differently from others of the same behaviour nor when somebody changes: both are
integrated out. No method that sees the same events names more people correctly, but by luck.
"""

import numpy as np
from scipy.special import logsumexp

from tailorbird.simulator.behaviours import BEHAVIOURS, DRIFTS, chances
from tailorbird.simulator.evidence import Evidence
from tailorbird.simulator.sessions import observe
from tailorbird.simulator.shop import Shop

AT_ONCE = 500
"""Users whose sessions are weighed together."""


def posterior(shop: Shop, *, since: float, until: float) -> np.ndarray:
    """(n_users, n_behaviours) how probable each behaviour is at ``until``, after what happened since ``since``.

    Somebody may have changed between any two sessions: the sessions before then speak for the earlier behaviour.
    """
    shop.behaviour_at([], until)  # refuses a shop without behaviours
    sessions = observe(shop, since=since, until=until)
    evidence = Evidence.of(shop)
    known = shop.users.users
    prior = np.log(chances(known["age"].to_numpy(), known["gender"].to_numpy()))
    joined = shop.truth.people.joined_at
    result = np.empty((len(prior), len(BEHAVIOURS)))
    for low in range(0, len(prior), AT_ONCE):
        high = min(low + AT_ONCE, len(prior))
        picked = sessions.of((sessions.user >= low) & (sessions.user < high))
        user = picked.user - low
        begin = np.maximum(joined[low:high], since)
        totals = evidence.totals(picked)
        counts = np.bincount(user, minlength=high - low)
        whole = totals.sums(user, high - low)
        # (s, ...) the sessions up to each one of the same user, and those after it
        first = np.repeat(np.cumsum(counts) - counts, counts)
        before = totals.running(first)
        after = whole.of(user) - before
        ends = np.append(picked.began[1:], until)
        ends[np.cumsum(counts)[counts > 0] - 1] = until
        middle = (picked.began + ends) / 2
        log_before = evidence.weigh(before, duration=np.maximum(middle - begin[user], 1.0))
        log_after = evidence.weigh(after, duration=np.maximum(until - middle, 1.0))
        log_whole = evidence.weigh(whole, duration=np.maximum(until - begin, 1.0))

        own = prior[low:high]
        changed = np.log(DRIFTS) + np.log((ends - picked.began) / (shop.end - joined[low:high])[user])
        split = own[user] + log_after + _others(own[user] + log_before, own[user]) + changed[:, None]
        stayed = 1.0 - np.bincount(user, weights=np.exp(changed), minlength=high - low)
        score = np.log(np.maximum(stayed, 1e-9))[:, None] + own + log_whole
        peak = score.copy()
        np.maximum.at(peak, user, split)
        mass = np.exp(score - peak)
        np.add.at(mass, user, np.exp(split - peak[user]))
        score = peak + np.log(mass)
        result[low:high] = np.exp(score - logsumexp(score, axis=1, keepdims=True))
    return result


def oracle_labels(shop: Shop, *, since: float, until: float) -> np.ndarray:
    """(n_users,) the most probable behaviour of each user at ``until``."""
    labels: np.ndarray = posterior(shop, since=since, until=until).argmax(axis=1)
    return labels


def oracle_accuracy(shop: Shop, *, since: float, until: float, least_events: int = 10) -> float:
    """Share of the users with ``least_events`` in the time whose behaviour at ``until`` the oracle names correctly."""
    visits = shop.visits
    seen = (visits.at >= since * 1e6) & (visits.at < until * 1e6)
    asked = np.bincount(visits.user[seen], minlength=shop.size) >= least_events
    truth = shop.truth.conducts.behaviour_at(np.arange(shop.size), np.full(shop.size, until))
    right = oracle_labels(shop, since=since, until=until) == truth
    return float(right[asked].mean()) if asked.any() else float("nan")


def _others(earlier: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """(s, n_behaviours) log chance of the earlier sessions if the later behaviour is b: any other one was before it."""
    # The later one is drawn among the others: chance of b after a is prior(b) / (1 - prior(a)).
    weighed = earlier - np.log1p(-np.exp(prior))
    terms = np.where(np.eye(len(BEHAVIOURS), dtype=bool), -np.inf, weighed[:, None, :])
    mixed: np.ndarray = logsumexp(terms, axis=2)
    return mixed
