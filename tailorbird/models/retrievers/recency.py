"""How histories become weighted queries: runs of one item count once, and later events count more."""

from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from tailorbird.events.interactions import Histories, Interactions
from tailorbird.plumbing.compiled import compiled


def without_runs(histories: Histories) -> Histories:
    """Keep the last event of each run of one item (a view, click and purchase in a row are one interest)."""
    indptr, kept = _runs_ended(histories.indptr, histories.items)
    if len(kept) == len(histories.items):
        return histories
    return replace(
        histories,
        indptr=indptr,
        items=histories.items[kept],
        times=histories.times[kept],
        weights=histories.weights[kept],
    )


@compiled
def _runs_ended(indptr: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each history starts once runs are one event, and (m,) the places of the events that stay."""
    fresh, kept, count = np.zeros_like(indptr), np.empty(len(items), np.int64), 0
    for owner in range(len(indptr) - 1):
        for place in range(indptr[owner], indptr[owner + 1]):
            if place + 1 == indptr[owner + 1] or items[place + 1] != items[place]:
                kept[count] = place
                count += 1
        fresh[owner + 1] = count
    return fresh, kept[:count]


def interactions_without_runs(interactions: Interactions) -> Interactions:
    """Apply the same rule to a training set."""
    return interactions.where(_runs_ended(interactions.indptr, interactions.items)[1])


def some_histories(interactions: Interactions, *, count: int, length: int, seed: int) -> Histories:
    """What up to ``count`` people, drawn by ``seed``, would ask a minute after the newest event: ``length`` events each, no runs."""
    some = np.random.default_rng(seed).permutation(interactions.user_count)[:count]
    until = np.full(len(some), interactions.times.max(initial=0.0) + 60.0)
    return without_runs(interactions.histories(some, until, length=length))


def lags(histories: Histories) -> np.ndarray:
    """(n,) how many events of the same history came after each event; 0 for the latest."""
    return np.repeat(histories.indptr[1:], histories.lengths) - 1 - np.arange(len(histories.items))


def recency_matrix(histories: Histories, by_lag: np.ndarray, *, item_count: int) -> sp.csr_matrix:
    """(b, n_items): each history's items weighted ``by_lag[lag]``, each row summing to one; older ones are left out."""
    lag = lags(histories)
    kept = lag < len(by_lag)
    owners = np.repeat(np.arange(len(histories)), histories.lengths)[kept]
    weights = by_lag[lag[kept]]
    total = np.bincount(owners, weights=weights, minlength=len(histories))
    return sp.csr_matrix(
        ((weights / total[owners]).astype(np.float32), (owners, histories.items[kept])),
        shape=(len(histories), item_count),
    )
