"""Salted hashing of units into buckets: the same here, in the browser SDK (sdk/js/src/buckets.ts) and in every process.

MurmurHash3 (x86, 32 bits), as Optimizely and Unleash use it; tests/experiments/running/vectors.json holds all to it.
"""

from typing import NamedTuple

import mmh3

BUCKETS = 10_000
"""Of a layer: shares are steps of one in ten thousand."""
_PARTS = 2**32


class Range(NamedTuple):
    """Buckets from ``start`` up to, not including, ``end``."""

    start: int
    end: int


def point(salt: str, unit: str) -> float:
    """Where a unit falls in [0, 1) under a salt."""
    return mmh3.hash(f"{salt}/{unit}", signed=False) / _PARTS


def bucket(layer: str, unit: str) -> int:
    """The unit's bucket in a layer: 0 to BUCKETS - 1."""
    return int(mmh3.hash(f"layer/{layer}/{unit}", signed=False) * BUCKETS // _PARTS)
