"""Where a unit falls in every layer at once: the hashing of buckets.py, translated to machine code."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tailorbird.experiments.running.buckets import BUCKETS, PARTS, Range, seed_of_layer, seed_of_salt
from tailorbird.plumbing.compiled import compiled


class Placed(NamedTuple):
    """An experiment in its layer: the buckets it holds, the salt and the weights of its variants."""

    buckets: Sequence[Range]
    salt: str
    weights: Sequence[float]


class Places:
    """The experiments of some layers as arrays. Those of one layer hold different buckets."""

    def __init__(self, layers: Sequence[tuple[str, Sequence[Placed]]]) -> None:
        experiments = [each for _, own in layers for each in own]
        self.width = max((len(each.weights) for each in experiments), default=1)
        """Options of an experiment; the variant ``v`` of experiment ``e``, counted through the layers, is option ``e * width + v``."""
        held = [(each, place) for place, one in enumerate(experiments) for each in one.buckets]
        counts = [sum(len(each.buckets) for each in own) for _, own in layers]
        ends = np.cumsum(counts, dtype=np.int64)
        # (layers,) seeds; (layers, 2) which ranges are of the layer; (ranges, 3) start, end, the experiment that holds it.
        self._layers = np.array([seed_of_layer(name) for name, _ in layers], np.uint32)
        self._ranges_of = np.stack([ends - counts, ends], axis=1)
        self._ranges = np.array([(*each, place) for each, place in held], np.int64).reshape(-1, 3)
        # (experiments,) seeds; (experiments, width - 1) where the part of each variant but the last ends, among PARTS.
        self._salts = np.array([seed_of_salt(each.salt) for each in experiments], np.uint32)
        self._ends = np.full((len(experiments), self.width - 1), np.inf)
        for place, each in enumerate(experiments):
            self._ends[place, : len(each.weights) - 1] = ends_of(each.weights)

    def options(self, unit: str) -> tuple[int, ...]:
        """(≤ layers,) the options that a unit gets, in the order of the layers; none of a layer where no experiment holds its bucket."""
        found = _options(unit.encode(), self._layers, self._ranges_of, self._ranges, self._salts, self._ends)
        return tuple(found.tolist())


def ends_of(weights: Sequence[float]) -> np.ndarray:
    """(variants - 1,) where the parts of all variants but the last end, among PARTS."""
    return np.cumsum(np.asarray(weights, float) * PARTS)[:-1]


_BUCKETS, _PARTS = BUCKETS, PARTS


@compiled
def _options(
    unit: bytes,
    layers: np.ndarray,
    ranges_of: np.ndarray,
    ranges: np.ndarray,
    salts: np.ndarray,
    ends: np.ndarray,
) -> np.ndarray:
    words = _scrambled(unit)
    hashes = layers.copy()
    _hash(words, len(unit), hashes)
    found, taken, parts = np.empty(len(layers), np.int64), 0, ends.shape[1]
    for layer in range(len(layers)):
        bucket = np.int64(hashes[layer]) * _BUCKETS // _PARTS
        for at in range(ranges_of[layer, 0], ranges_of[layer, 1]):
            if ranges[at, 0] <= bucket < ranges[at, 1]:
                found[taken] = ranges[at, 2]
                hashes[taken] = salts[ranges[at, 2]]  # of a layer that has been looked at: its place is free
                taken += 1
                break
    points = hashes[:taken]
    _hash(words, len(unit), points)
    for at in range(taken):
        place, which = found[at], 0
        while which < parts and ends[place, which] <= points[at]:
            which += 1
        found[at] = place * (parts + 1) + which
    return found[:taken]


@compiled
def _scrambled(unit: bytes) -> np.ndarray:
    """The words of MurmurHash3 (x86, 32 bits), as they go into a hash under any seed."""
    words = np.empty((len(unit) + 3) // 4, np.uint32)
    for at in range(len(words)):
        word = np.uint32(0)
        for byte in range(min(4, len(unit) - 4 * at)):
            word |= np.uint32(unit[4 * at + byte]) << np.uint32(8 * byte)
        word = np.uint32(word * np.uint32(0xCC9E2D51))
        word = np.uint32((word << np.uint32(15)) | (word >> np.uint32(17)))
        words[at] = np.uint32(word * np.uint32(0x1B873593))
    return words


@compiled
def _hash(words: np.ndarray, count: int, hashes: np.ndarray) -> None:
    """MurmurHash3 of ``count`` bytes under many seeds, in their place: word by word, so that the processor takes several seeds at once."""
    for at in range(len(words)):
        whole = 4 * at + 4 <= count
        for place in range(len(hashes)):
            found = hashes[place] ^ words[at]
            if whole:
                found = np.uint32((found << np.uint32(13)) | (found >> np.uint32(19)))
                found = np.uint32(found * np.uint32(5) + np.uint32(0xE6546B64))
            hashes[place] = found
    for place in range(len(hashes)):
        found = hashes[place] ^ np.uint32(count)
        found = np.uint32((found ^ (found >> np.uint32(16))) * np.uint32(0x85EBCA6B))
        found = np.uint32((found ^ (found >> np.uint32(13))) * np.uint32(0xC2B2AE35))
        hashes[place] = found ^ (found >> np.uint32(16))
