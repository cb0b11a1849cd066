"""Ranks: where the right answer stands among all items, ties sharing the middle of their places."""

import numpy as np

DEPTH = 100
"""How many of the best items are kept of each question; every metric reads at most so many."""


def mid_ranks(scores: np.ndarray, targets: np.ndarray, *, question: np.ndarray | None = None) -> np.ndarray:
    """Find the rank of each target in the whole catalogue, from 1; inf where the target was not offered.

    ``scores`` (b, n_items), -inf or NaN where an item is not offered; ``targets`` (n,) catalogue rows;
    ``question`` (n,) the row of ``scores`` each target belongs to (by default target i belongs to row i) ▸
    (n,) float64. Items of equal score share the mean of the places they occupy, so a model that scores
    everything alike earns what chance earns.
    """
    rows = np.arange(len(targets)) if question is None else question
    own = scores[rows, targets]
    ranks = np.full(len(targets), np.inf)
    chunk = max(1, 2**22 // max(scores.shape[1], 1))
    for low in range(0, len(targets), chunk):
        part = slice(low, low + chunk)
        offered, mine = scores[rows[part]], own[part, None]  # (c, n_items), (c, 1)
        better = np.count_nonzero(offered > mine, axis=1)
        equal = np.count_nonzero(offered == mine, axis=1)  # the target itself among them
        ranks[part] = better + (equal + 1) / 2
    return np.where(np.isfinite(own), ranks, np.inf)


def best_items(scores: np.ndarray, k: int = DEPTH, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Find the ``k`` best items of each row, best first, ties in an order drawn once from ``seed``.

    ``scores`` (b, n_items) ▸ rows (b, k) int32, -1 where fewer are offered, and their scores (b, k)
    float32. The drawn order keeps a catalogue's own order (often by age or fame) from deciding ties.
    """
    items = scores.shape[1]
    order = np.random.default_rng(seed).permutation(items)
    shuffled = np.nan_to_num(scores[:, order], copy=False, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    width = min(k, items)
    places = (
        np.argpartition(-shuffled, width - 1, axis=1)[:, :width]
        if width < items
        else np.broadcast_to(np.arange(items), shuffled.shape)
    )
    values = np.take_along_axis(shuffled, places, axis=1)
    sort = np.lexsort((places, -values), axis=1)
    values = np.take_along_axis(values, sort, axis=1)
    rows = order[np.take_along_axis(places, sort, axis=1)].astype(np.int32)
    rows[np.isneginf(values)] = -1
    return _widened(rows, k, fill=-1), _widened(values.astype(np.float32), k, fill=-np.inf)


def ranks_in(
    rankings: np.ndarray,
    targets: np.ndarray,
    *,
    scores: np.ndarray | None = None,
    question: np.ndarray | None = None,
) -> np.ndarray:
    """Find the rank of each target in given rankings, from 1; inf where it is absent.

    ``rankings`` (b, k) catalogue rows, best first, -1 where empty; ``targets`` (n,); ``scores`` (b, k) lets
    equal scores share the mean of their places; ``question`` (n,) as in :func:`mid_ranks` ▸ (n,) float64.
    """
    rows = np.arange(len(targets)) if question is None else question
    found = (rankings[rows] == targets[:, None]) & (targets[:, None] >= 0)  # (n, k)
    place = found.argmax(axis=1)
    ranks = place + 1.0
    if scores is not None:
        ranked = scores[rows]  # (n, k)
        own = ranked[np.arange(len(targets)), place][:, None]
        offered = rankings[rows] >= 0
        better = np.count_nonzero((ranked > own) & offered, axis=1)
        equal = np.count_nonzero((ranked == own) & offered, axis=1)
        ranks = better + (equal + 1) / 2
    return np.where(found.any(axis=1), ranks, np.inf)


def _widened(table: np.ndarray, k: int, *, fill: float) -> np.ndarray:
    missing = k - table.shape[1]
    return table if missing <= 0 else np.pad(table, ((0, 0), (0, missing)), constant_values=fill)
