"""Turning scores into the best few: top-k with -1 where there are fewer."""

import numpy as np
import torch

from tailorbird.models.base import Retrieved

STRIDE = 16
"""Every so manyth score makes the sample from which a threshold is guessed."""
SAMPLED_FROM = 4_096


def best(scores: np.ndarray, k: int) -> Retrieved:
    """The ``k`` highest of each row of ``scores`` (b, n), best first; -inf and NaN never appear."""
    b, n = scores.shape
    k_here = min(k, n)
    usable = np.where(np.isnan(scores), np.float32(-np.inf), scores).astype(np.float32, copy=False)
    if k_here == 0:
        return nothing(b, k)
    # numpy's argpartition takes milliseconds when many scores are equal (-inf), torch's topk does not.
    values, rows = (found.numpy() for found in torch.topk(torch.from_numpy(usable), k_here, dim=1))
    rows[np.isneginf(values)] = -1
    return padded(Retrieved(rows, values), k)


def top_rows(scores: np.ndarray, k: int) -> np.ndarray:
    """(≤ k,) int64 rows of the highest of ``scores`` (n,) float32, best first; -inf is never among them."""
    if len(scores) > max(SAMPLED_FROM, 4 * k):
        rows = _rows_above(scores, k)
        if rows is not None:
            return rows
    values, found = (part.numpy() for part in torch.topk(torch.from_numpy(scores), min(k, len(scores))))
    return found[: len(found) - int(np.isneginf(values).sum())]


def _rows_above(scores: np.ndarray, k: int) -> np.ndarray | None:
    """The same, by a threshold guessed from a sample: a third of topk's time. None where the guess was too high."""
    sample = scores[::STRIDE]
    place = len(sample) - (3 * k * len(sample) // (2 * len(scores)) + 8)
    threshold = np.partition(sample, place)[place]
    rows = np.flatnonzero(scores > threshold)
    if len(rows) < k:
        return None
    return rows[np.argsort(-scores[rows])[:k]]


def padded(found: Retrieved, k: int) -> Retrieved:
    """Widen to ``k`` columns with row -1 and score -inf."""
    missing = k - found.rows.shape[1]
    if missing <= 0:
        return found
    return Retrieved(
        np.pad(found.rows, ((0, 0), (0, missing)), constant_values=-1),
        np.pad(found.scores, ((0, 0), (0, missing)), constant_values=-np.inf),
    )


def nothing(queries: int, k: int) -> Retrieved:
    """No item for any query."""
    return Retrieved(np.full((queries, k), -1, np.int64), np.full((queries, k), -np.inf, np.float32))


def take(scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Scores (b, n) at ``rows`` (b, c); -inf where a row is -1."""
    taken = np.take_along_axis(scores, np.maximum(rows, 0), axis=1).astype(np.float32)
    taken[rows < 0] = -np.inf
    return taken
