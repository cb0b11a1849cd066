"""Which segment somebody is in: a pure function of their history and of what they told, compiled for every event and request.

Two memories are asked. The slow one names the incumbent; the fast one, which forgets soon and takes the slow one's word for
what it has not seen, must beat it by a margin. No label of before is read, so late, repeated and reordered events, a rebuild
and a training set all give the same label.
"""

from typing import NamedTuple

import numpy as np

from tailorbird.plumbing.compiled import compiled


class Weights(NamedTuple):
    """What an assignment computes with: F traits, c of them chosen, q directions, d facts told, K segments, Q = q + d.

    ``half_lives`` (2,) seconds, slow and fast; ``share`` (F,) bool, ``prior``, ``strength`` (F,); ``chosen``, ``center``, ``scale`` (c,);
    ``projection`` (c, q); ``told_center``, ``told_scale`` (d,); ``means`` (K, Q); ``whitening`` (K, Q, Q) so that the squared
    length of ``whitening[k] @ (y - means[k])`` is the distance; ``bias`` (K,) is what a segment has before any distance.
    """

    half_lives: np.ndarray
    share: np.ndarray
    prior: np.ndarray
    strength: np.ndarray
    chosen: np.ndarray
    center: np.ndarray
    scale: np.ndarray
    projection: np.ndarray
    told_center: np.ndarray
    told_scale: np.ndarray
    means: np.ndarray
    whitening: np.ndarray
    bias: np.ndarray
    furthest: float
    margin: float
    least: float


@compiled
def assigned(found, told, weights):  # type: ignore[no-untyped-def]
    """Where somebody belongs by their evidence ``found`` (2, F, 2), slow and fast, and what they ``told`` (d,), NaN for nothing.

    The segment, -1 for too little seen; the incumbent's; its lead over the second; (K,) memberships; and the challenger's lead
    over the incumbent in the fast memory, which the margin is held against.
    """
    count = len(weights.means)
    # Every event kept weighs in the first trait's denominator.
    if count == 0 or found[0, 0, 1] < weights.least:
        return -1, -1, 0.0, np.zeros(count), 0.0
    slow = (found[0, :, 0] + weights.strength * weights.prior) / (found[0, :, 1] + weights.strength)
    fast = (found[1, :, 0] + weights.strength * slow) / (found[1, :, 1] + weights.strength)
    of_slow, of_fast = _scores(slow, told, weights), _scores(fast, told, weights)
    incumbent, challenger = np.argmax(of_slow), np.argmax(of_fast)
    lead = of_fast[challenger] - of_fast[incumbent]
    label, scores = incumbent, of_slow
    if lead > weights.margin:
        label, scores = challenger, of_fast
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    best, second = -np.inf, -np.inf
    for k in range(count):
        if k == label:
            best = scores[k]
        elif scores[k] > second:
            second = scores[k]
    decided = best - second if count > 1 else 0.0
    return label, incumbent, decided, shares, lead


@compiled
def _scores(traits, told, weights):  # type: ignore[no-untyped-def]
    """(K,) log of weight times density, up to one constant; the higher, the more somebody is of the segment."""
    chosen, width = weights.chosen, weights.projection.shape[1]
    z = np.empty(len(chosen))
    for c in range(len(chosen)):
        value = traits[chosen[c]]
        if weights.share[chosen[c]]:  # see segments.scaling.evened
            value = np.arcsin(np.sqrt(min(max(value, 0.0), 1.0)))
        value = (value - weights.center[c]) / weights.scale[c]
        z[c] = min(max(value, -weights.furthest), weights.furthest)
    y = np.zeros(width + len(weights.told_center))
    for c in range(len(chosen)):
        for q in range(width):
            y[q] += z[c] * weights.projection[c, q]
    for d in range(len(weights.told_center)):
        if told[d] == told[d]:  # what somebody did not tell counts as everybody's mean
            y[width + d] = (told[d] - weights.told_center[d]) * weights.told_scale[d]
    scores = weights.bias.copy()
    for k in range(len(scores)):
        for row in range(len(y)):
            along = 0.0
            for column in range(len(y)):
                along += weights.whitening[k, row, column] * (y[column] - weights.means[k, column])
            scores[k] -= 0.5 * along * along
    return scores
