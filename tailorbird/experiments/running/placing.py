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
        # (layers, 3) seed, and which ranges are of the layer; (ranges, 3) start, end, the experiment that holds it.
        self._layers = np.stack([[seed_of_layer(name) for name, _ in layers], ends - counts, ends], axis=1)
        self._ranges = np.array([(*each, place) for each, place in held], np.int64).reshape(-1, 3)
        # (experiments, width) seed, then where the part of each variant but the last ends, among PARTS.
        self._experiments = np.full((len(experiments), self.width), np.inf)
        for place, each in enumerate(experiments):
            self._experiments[place, 0] = seed_of_salt(each.salt)
            self._experiments[place, 1 : len(each.weights)] = ends_of(each.weights)

    def options(self, unit: str) -> list[int]:
        """(≤ layers,) the options that a unit gets, in the order of the layers; none of a layer where no experiment holds its bucket."""
        found: list[int] = _options(unit.encode(), self._layers, self._ranges, self._experiments).tolist()
        return found


def ends_of(weights: Sequence[float]) -> np.ndarray:
    """(variants - 1,) where the parts of all variants but the last end, among PARTS."""
    return np.cumsum(np.asarray(weights, float) * PARTS)[:-1]


_BUCKETS, _PARTS = BUCKETS, PARTS
_ALL = 0xFFFFFFFF


@compiled
def _options(unit: bytes, layers: np.ndarray, ranges: np.ndarray, experiments: np.ndarray) -> np.ndarray:
    count = len(unit)
    words = np.empty((count + 3) // 4, np.uint64)
    for at in range(len(words)):
        word = np.uint64(0)
        for byte in range(min(4, count - 4 * at)):
            word |= np.uint64(unit[4 * at + byte]) << np.uint64(8 * byte)
        word = (word * np.uint64(0xCC9E2D51)) & np.uint64(_ALL)
        word = ((word << np.uint64(15)) | (word >> np.uint64(17))) & np.uint64(_ALL)
        words[at] = (word * np.uint64(0x1B873593)) & np.uint64(_ALL)
    found, taken, width = np.empty(len(layers), np.int64), 0, experiments.shape[1]
    for layer in range(len(layers)):
        bucket = np.int64(_hash(words, count, np.uint64(layers[layer, 0]))) * _BUCKETS // _PARTS
        for at in range(layers[layer, 1], layers[layer, 2]):
            if ranges[at, 0] <= bucket < ranges[at, 1]:
                place = ranges[at, 2]
                point = float(_hash(words, count, np.uint64(experiments[place, 0])))
                which = 0
                while which < width - 1 and experiments[place, which + 1] <= point:
                    which += 1
                found[taken] = place * width + which
                taken += 1
                break
    return found[:taken]


@compiled
def _hash(words: np.ndarray, count: int, seed: np.uint64) -> np.uint64:
    """MurmurHash3 (x86, 32 bits) of ``count`` bytes under a seed, from their scrambled words."""
    found = seed
    for at in range(len(words)):
        found ^= words[at]
        if 4 * at + 4 <= count:
            found = ((found << np.uint64(13)) | (found >> np.uint64(19))) & np.uint64(_ALL)
            found = (found * np.uint64(5) + np.uint64(0xE6546B64)) & np.uint64(_ALL)
    found ^= np.uint64(count)
    found ^= found >> np.uint64(16)
    found = (found * np.uint64(0x85EBCA6B)) & np.uint64(_ALL)
    found ^= found >> np.uint64(13)
    found = (found * np.uint64(0xC2B2AE35)) & np.uint64(_ALL)
    return found ^ (found >> np.uint64(16))
