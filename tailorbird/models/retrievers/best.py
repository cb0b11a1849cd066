"""Turning scores into the best few: top-k with -1 where there are fewer."""

import numpy as np
import torch

from tailorbird.models.base import Retrieved


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
