"""From a grouping to segments that explain events: how likely each sign is in each, learned by expectation and maximisation.

The groups of people whose means lie near each other are where it begins. Each turn counts the signs of a segment's people, and
asks again whom these explain best (a mixture of behaviours; Cadez, Heckerman et al. 2003).
"""

from collections.abc import Sequence

import numpy as np

from tailorbird.segments.signs import ALPHABETS, SIGNS, signs_of
from tailorbird.segments.told import ALPHABETS as TOLD_ALPHABETS
from tailorbird.segments.told import TOLD_SIGNS, told_signs

TURNS = 8
TEMPER = 0.7
"""Events of one person are more alike than those of one segment: each counts for less than it would among strangers."""
PRIOR = 20.0
"""Signs of everybody that are added to those of a segment: what was hardly seen says hardly anything."""


def counted(histories: Sequence[np.ndarray], edges: np.ndarray, *, half_life: float) -> np.ndarray:
    """(n, SIGNS) decayed sums of everybody's signs."""
    return np.stack([signs_of(each, edges, half_life=half_life) for each in histories])


def counted_told(told: np.ndarray) -> np.ndarray:
    """(n, TOLD_SIGNS) what each of (n, 3) told, as ones."""
    found = np.zeros((len(told), TOLD_SIGNS))
    for place, own in enumerate(told):
        found[place, told_signs(own)] = 1.0
    return found


def learn(
    signs: np.ndarray, told: np.ndarray | None, labels: np.ndarray, *, groups: int, turns: int = TURNS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tempered log chances (K, SIGNS) and (K, TOLD_SIGNS), and bias (K,), from counts (n, ·) and first ``labels`` (n,).

    Without ``told`` its chances are zeros: it says nothing.
    """
    shares = np.zeros((len(signs), groups))
    shares[np.flatnonzero(labels >= 0), labels[labels >= 0]] = 1.0
    for turn in range(turns + 1):
        log_chances = TEMPER * _log_chances(signs, shares, ALPHABETS, SIGNS)
        of_told = np.zeros((groups, TOLD_SIGNS))
        if told is not None:
            of_told = _log_chances(told, shares, TOLD_ALPHABETS, TOLD_SIGNS)
        bias = np.log(np.maximum(shares.sum(axis=0), 1e-9) / shares.sum())
        if turn < turns:
            scores = scored(signs, told, log_chances, of_told, bias)
            shares = np.exp(scores - scores.max(axis=1, keepdims=True))
            shares /= shares.sum(axis=1, keepdims=True)
    return log_chances, of_told, bias


def scored(
    signs: np.ndarray, told: np.ndarray | None, log_chances: np.ndarray, of_told: np.ndarray, bias: np.ndarray
) -> np.ndarray:
    """(n, K) how well each segment explains each person."""
    found = signs @ log_chances.T + bias
    return found if told is None else found + told @ of_told.T


def _log_chances(
    counts: np.ndarray, shares: np.ndarray, alphabets: Sequence[tuple[int, int]], width: int
) -> np.ndarray:
    """(K, width) log chance of each sign among those of its alphabet, drawn towards everybody's."""
    found = np.zeros((shares.shape[1], width))
    everybody = counts.sum(axis=0)
    for start, end in alphabets:
        usual = everybody[start:end] + 0.1
        own = shares.T @ counts[:, start:end] + PRIOR * usual / usual.sum()
        found[:, start:end] = np.log(own / own.sum(axis=1, keepdims=True))
    return found
