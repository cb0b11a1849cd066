"""Accuracy metrics of one question each, all read from the ranks of its right answers."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

CUTS: tuple[int, ...] = (5, 10, 20, 100)
"""The list lengths at which every metric is reported."""


def hit_rate(ranks: np.ndarray, k: int) -> np.ndarray:
    """Say whether any right answer is among the first ``k``: (n, m) ranks ▸ (n,)."""
    return (_table(ranks) <= k).any(axis=1).astype(float)


def precision(ranks: np.ndarray, k: int) -> np.ndarray:
    """Share of the first ``k`` places that hold a right answer: (n, m) ranks ▸ (n,)."""
    return (_table(ranks) <= k).sum(axis=1) / k


def recall(ranks: np.ndarray, k: int) -> np.ndarray:
    """Share of the right answers that are among the first ``k``: (n, m) ranks ▸ (n,)."""
    table = _table(ranks)
    return (table <= k).sum(axis=1) / _answers(table)


def ndcg(ranks: np.ndarray, k: int) -> np.ndarray:
    """Discounted gain 1 / log2(1 + rank) over the best possible (Järvelin, Kekäläinen 2002): (n, m) ranks ▸ (n,)."""
    table = _table(ranks)
    gains = np.where(table <= k, 1 / np.log2(1 + table), 0.0).sum(axis=1)
    ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, k + 2)))])
    return gains / ideal[np.minimum(_answers(table), k).astype(int)]


def reciprocal_rank(ranks: np.ndarray, k: int) -> np.ndarray:
    """One over the rank of the first right answer, 0 beyond ``k``: (n, m) ranks ▸ (n,); its mean is MRR."""
    first = np.nanmin(_table(ranks), axis=1)
    return np.where(first <= k, 1 / first, 0.0)


def average_precision(ranks: np.ndarray, k: int) -> np.ndarray:
    """Mean precision at the places of the right answers, 0 beyond ``k``: (n, m) ranks ▸ (n,); its mean is MAP."""
    table = np.sort(_table(ranks), axis=1)  # NaN sorts last
    order = np.arange(1, table.shape[1] + 1)
    return np.where(table <= k, order / table, 0.0).sum(axis=1) / _answers(table)


METRICS: Mapping[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "precision": precision,
    "recall": recall,
    "hr": hit_rate,
    "ndcg": ndcg,
    "mrr": reciprocal_rank,
    "map": average_precision,
}
"""Every accuracy metric by its name in ``metrics.json``, where it stands as ``name@k``."""


def per_question(ranks: np.ndarray, *, cuts: Sequence[int] = CUTS) -> dict[str, np.ndarray]:
    """Compute every metric at every cut: (n,) or (n, m) ranks ▸ ``{"hr@10": (n,), ...}``.

    A row holds the ranks of one question's right answers (1 is best, inf is not found, NaN pads rows that
    have fewer). Ranks may be fractions: that is how ties count.
    """
    return {f"{name}@{k}": metric(ranks, k) for name, metric in METRICS.items() for k in cuts}


def grouped(ranks: np.ndarray, question: np.ndarray) -> np.ndarray:
    """Gather the ranks (n,) of cases that share a question into one row each: (q, m), NaN where a row has fewer.

    ``question`` (n,) must not decrease; questions without a case are left out.
    """
    _, first, counts = np.unique(question, return_index=True, return_counts=True)
    table = np.full((len(first), int(counts.max(initial=1))), np.nan)
    row = np.repeat(np.arange(len(first)), counts)
    table[row, np.arange(len(ranks)) - np.repeat(first, counts)] = ranks
    return table


def _table(ranks: np.ndarray) -> np.ndarray:
    return ranks[:, None] if ranks.ndim == 1 else ranks


def _answers(table: np.ndarray) -> np.ndarray:
    return np.maximum((~np.isnan(table)).sum(axis=1), 1)
