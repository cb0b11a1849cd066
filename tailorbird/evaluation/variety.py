"""What accuracy does not say of a list: coverage, diversity, novelty and the pull towards the popular."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from sklearn.feature_extraction.text import TfidfVectorizer

from tailorbird.catalog.catalog import Catalog


def coverage(rankings: np.ndarray, k: int, *, item_count: int) -> float:
    """Share of the catalogue that is shown to anybody in the first ``k`` places; ``rankings`` (q, ≥ k)."""
    shown = np.unique(rankings[:, :k])
    return float(np.count_nonzero(shown >= 0) / max(item_count, 1))


def exposure_gini(rankings: np.ndarray, k: int, *, item_count: int) -> float:
    """Gini coefficient of how often each item is shown in the first ``k``: 0 is everyone alike, 1 is one item only."""
    top = rankings[:, :k]
    shown = np.sort(np.bincount(top[top >= 0], minlength=item_count).astype(float))
    if not shown.sum():
        return float("nan")
    place = np.arange(1, item_count + 1)
    return float((2 * place - item_count - 1) @ shown / (item_count * shown.sum()))


def novelty(rankings: np.ndarray, k: int, *, popularity: np.ndarray, user_count: int) -> np.ndarray:
    """Mean self-information -log2 p(item) of the first ``k`` in bits (Zhou et al. 2010): (q,).

    ``popularity`` (n_items,) how many of the ``user_count`` users had each item in training; one more user
    is counted everywhere, so that a cold item is the most novel one and not infinitely so.
    """
    share = (popularity + 1.0) / (user_count + 1.0)
    return _mean_of_shown(-np.log2(share), rankings[:, :k])


def popularity_bias(rankings: np.ndarray, k: int, *, popularity: np.ndarray, chosen: float) -> np.ndarray:
    """Mean popularity of the first ``k`` over ``chosen``, the mean popularity of what users took: (q,); 1 follows them."""
    return _mean_of_shown(popularity.astype(float), rankings[:, :k]) / max(chosen, 1e-12)


class ListDiversity:
    """Intra-list diversity: 1 - mean cosine of the pairs of a list (Smyth, McClave 2001), on TF-IDF of item texts."""

    def __init__(self, vectors: sp.csr_matrix) -> None:
        self._vectors = vectors  # (n_items, terms), rows of length 1, or 0 where an item says nothing
        self._squares = np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel()

    @classmethod
    def of(cls, catalog: Catalog) -> "ListDiversity | None":
        """Build from the catalogue's texts; None where items have no text."""
        texts: Sequence[str] = catalog.texts
        if not any(texts):
            return None
        return cls(sp.csr_matrix(TfidfVectorizer(max_features=20_000, dtype=np.float32).fit_transform(texts)))

    def __call__(self, rankings: np.ndarray, k: int) -> np.ndarray:
        """Compute the diversity of the first ``k`` of each list: (q, ≥ k) ▸ (q,), NaN for lists of fewer than two."""
        diversity = np.full(len(rankings), np.nan)
        for low in range(0, len(rankings), 4096):
            top = rankings[low : low + 4096, :k]
            row, column = np.nonzero(top >= 0)
            shown = top[row, column]
            pick = sp.csr_matrix(
                (np.ones(len(row), np.float32), (row, shown)), shape=(len(top), self._vectors.shape[0])
            )
            total = (
                pick @ self._vectors
            )  # (c, terms): |sum of vectors|² = sum of squares + twice the sum over pairs
            pairs = np.asarray(total.multiply(total).sum(axis=1)).ravel() - pick @ self._squares
            length = (top >= 0).sum(axis=1)
            with np.errstate(invalid="ignore", divide="ignore"):
                diversity[low : low + 4096] = 1 - np.where(
                    length > 1, pairs / (length * (length - 1)), np.nan
                )
        return diversity


def _mean_of_shown(values: np.ndarray, top: np.ndarray) -> np.ndarray:
    offered = top >= 0
    total = np.where(offered, values[np.maximum(top, 0)], 0.0).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.where(offered.any(axis=1), total / np.maximum(offered.sum(axis=1), 1), np.nan)
