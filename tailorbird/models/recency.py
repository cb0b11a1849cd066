"""How histories become weighted queries: runs of one item count once, and later events count more."""

from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from tailorbird.interactions import Histories, Interactions


def without_runs(histories: Histories) -> Histories:
    """Keep the last event of each run of one item (a view, click and purchase in a row are one interest)."""
    owners = np.repeat(np.arange(len(histories)), histories.lengths)
    kept = _last_of_run(owners, histories.items)
    if kept.all():
        return histories
    counts = np.bincount(owners[kept], minlength=len(histories))
    return replace(
        histories,
        indptr=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        items=histories.items[kept],
        times=histories.times[kept],
        weights=histories.weights[kept],
    )


def interactions_without_runs(interactions: Interactions) -> Interactions:
    """Apply the same rule to a training set."""
    return interactions.where(_last_of_run(interactions.users, interactions.items))


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


def _last_of_run(owners: np.ndarray, items: np.ndarray) -> np.ndarray:
    kept = np.ones(len(items), bool)
    kept[:-1] = (items[1:] != items[:-1]) | (owners[1:] != owners[:-1])
    return kept
