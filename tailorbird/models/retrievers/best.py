"""The best few of many scores, best first, equal ones by row: of a whole catalogue or of the rows that have a score."""

import numpy as np

from tailorbird.plumbing.compiled import compiled

SAMPLE = 512
"""Scores from which it is guessed how high the best ones are."""


@compiled
def best_of_all(scores: np.ndarray, allowed: np.ndarray, k: int) -> np.ndarray:
    """(≤ k,) int64 rows with the highest ``scores`` (n,) float32 among those ``allowed`` (n,) bool, best first.

    Of equal scores the lower row comes first. A score of exactly zero, -inf or NaN says nothing for its row. A sample
    guesses the score that somewhat more than ``k`` exceed, only those are put in order; a guess too high is lowered.
    Nothing here branches on a score, which a processor could not foresee.
    """
    size, n = max(0, min(k, len(scores))), len(scores)
    sample = scores[:: max(1, n // SAMPLE)].copy()
    order = _descending(sample)
    place = min(len(sample), 8 + 5 * size * len(sample) // max(1, 4 * n))
    rows = np.empty(n, np.int64)
    while True:
        floor = sample[order[place]] if place < len(sample) else np.float32(-np.inf)
        count = 0
        for row in range(n):
            rows[count] = row
            count += (scores[row] > floor) & (scores[row] != 0.0) & allowed[row]
        if count >= size or place >= len(sample):
            break
        place *= 2
    found = rows[:count]
    return found[_descending(scores[found])[:size]]


@compiled
def best_of_some(
    rows: np.ndarray, scores: np.ndarray, code: np.ndarray, few: np.ndarray, k: int
) -> np.ndarray:
    """The same of ``rows`` (m,) int64, each once and in any order, with their ``scores`` (m,) float32.

    A row may be proposed where ``code`` (n,) is 0 and it is not among ``few``, ascending (:class:`Allowed`).
    """
    size, n = max(0, min(k, len(rows))), len(rows)
    sample = scores[:: max(1, n // SAMPLE)].copy()
    order = _descending(sample)
    place = min(len(sample), 8 + 5 * size * len(sample) // max(1, 4 * n))
    kept = np.empty(n, np.int64)
    while True:
        floor = sample[order[place]] if place < len(sample) else np.float32(-np.inf)
        count = 0
        for at in range(n):
            if scores[at] > floor and scores[at] != 0.0 and _is_free(rows[at], code, few):
                kept[count] = at
                count += 1
        if count >= size or place >= len(sample):
            break
        place *= 2
    order = kept[:count][_descending(scores[kept[:count]])]
    best, first = rows[order], 0
    for last in range(1, count + 1):
        if last == count or scores[order[last]] != scores[order[first]]:
            if last - first > 1:
                best[first:last] = np.sort(best[first:last])
            first = last
            if first >= size:
                break
    return best[:size]


@compiled
def first_allowed(ordered: np.ndarray, code: np.ndarray, few: np.ndarray, k: int) -> np.ndarray:
    """(≤ k,) int64: the first rows of ``ordered`` (m,) that may be proposed."""
    found, count = np.empty(max(0, min(k, len(ordered))), np.int64), 0
    for row in ordered:
        if count == len(found):
            break
        if _is_free(row, code, few):
            found[count] = row
            count += 1
    return found[:count]


@compiled
def _is_free(row: int, code: np.ndarray, few: np.ndarray) -> bool:
    """Whether a row may be proposed."""
    if code[row] != 0:
        return False
    here = np.searchsorted(few, row)
    return here == len(few) or few[here] != row


@compiled
def _descending(values: np.ndarray) -> np.ndarray:
    """(n,) places of float32 ``values``, the highest first, equal ones as they stand: a radix sort, NaN somewhere."""
    bits = values.view(np.uint32)
    keys, order = np.empty(len(bits), np.uint32), np.arange(len(bits))
    for i in range(len(bits)):  # bits that count downwards where the number counts upwards
        keys[i] = bits[i] if bits[i] >> np.uint32(31) else bits[i] ^ np.uint32(0x7FFFFFFF)
    for shift in range(0, 32, 8):
        starts = np.zeros(257, np.int64)
        for place in order:
            starts[1 + ((keys[place] >> np.uint32(shift)) & np.uint32(255))] += 1
        for digit in range(256):
            starts[digit + 1] += starts[digit]
        fresh = np.empty_like(order)
        for place in order:
            digit = (keys[place] >> np.uint32(shift)) & np.uint32(255)
            fresh[starts[digit]] = place
            starts[digit] += 1
        order = fresh
    return order
