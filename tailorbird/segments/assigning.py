"""Which segment somebody is in: a pure function of their history and of what they told, for every event and request.

Evidence are decayed sums of what each event says for each segment. Two memories hold them. The slow one, of all visits but the
latest, names the incumbent; it must be beaten clearly within that visit, or by a margin in the fast memory, which forgets soon.
No label of before is read, so late, repeated and reordered events, a rebuild and a training set all give the same label.
"""

from typing import NamedTuple

import numpy as np

from tailorbird.plumbing.compiled import compiled
from tailorbird.segments.signs import explained


class Weights(NamedTuple):
    """What an assignment computes with, of K segments.

    ``half_lives`` (2,) seconds, slow and fast; ``edges`` of prices; ``log_chances`` (K, SIGNS) of each sign, tempered; ``told``
    (K, TOLD_SIGNS) of what people told, zeros where that takes no part; ``bias`` (K,) is what a segment has before any sign.
    ``slack`` and ``margin`` are nats; ``least`` decayed events must have been seen.
    """

    half_lives: np.ndarray
    edges: np.ndarray
    log_chances: np.ndarray
    told: np.ndarray
    bias: np.ndarray
    slack: float
    margin: float
    least: float


def usual_count(history: np.ndarray, *, least: float) -> int:
    """How many events came before the latest visit, but at least ``least``: they tell what somebody is usually like."""
    if not len(history):
        return 0
    session = history["session"]
    begins = len(history) - 1
    if session[-1]:
        others = np.flatnonzero(session != session[-1])
        begins = int(others[-1]) + 1 if len(others) else 0
    return max(begins, min(len(history), int(np.ceil(least))))


def assign(
    history: np.ndarray, told: np.ndarray, weights: Weights
) -> tuple[int, int, float, np.ndarray, float]:
    """Where somebody with ``history`` (n,) RECORD belongs, who ``told`` (t,) signs of themselves.

    The segment, -1 for too little seen; the incumbent's; its lead over the second, in nats; (K,) memberships; and the greatest
    lead of a challenger in the fast memory during the latest visit, which the margin is held against.
    """
    usual = usual_count(history, least=weights.least)
    says = explained(history, weights.edges, weights.log_chances)
    own = weights.bias + weights.told[:, told].sum(axis=1)
    limits = weights.slack, weights.margin, weights.least
    return _followed(history, says, own, weights.half_lives, usual, limits)


@compiled
def _followed(history, says, own, half_lives, usual, limits):  # type: ignore[no-untyped-def]
    """Sum up what (n, K) events say; over those of the latest visit, event by event, challengers may take the incumbent's place.

    Whoever took it must be beaten as clearly: who stands between two segments does not go back and forth.
    """
    count, slack, margin, least = len(own), limits[0], limits[1], limits[2]
    nobody = (-1, -1, 0.0, np.zeros(count), 0.0)
    if not len(says) or not count:
        return nobody
    newest = history[len(history) - 1].time
    slow, fast, seen, most = own.copy(), np.zeros(count), 0.0, 0.0
    incumbent = label = -1
    quick = False
    for i in range(len(says)):
        age = (newest - history[i].time) / 1e6
        slowly, soon = 2.0 ** (-age / half_lives[0]), 2.0 ** (-age / half_lives[1])
        seen += slowly
        for k in range(count):
            slow[k] += slowly * says[i, k]
            fast[k] += soon * says[i, k]
        if i == usual - 1:
            incumbent = label = int(np.argmax(slow))
        elif i >= usual:
            settled, challenger = int(np.argmax(slow)), int(np.argmax(fast))
            lead = fast[challenger] - fast[label]
            most = max(most, lead)
            if lead > margin:
                label, quick = challenger, True
            elif not quick and slow[settled] - slow[label] > slack:
                label = settled
    if seen < least:
        return nobody
    scores = fast + own if quick else slow
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    second = -np.inf
    for k in range(count):
        if k != label and scores[k] > second:
            second = scores[k]
    return label, incumbent, scores[label] - second if count > 1 else 0.0, shares, most
