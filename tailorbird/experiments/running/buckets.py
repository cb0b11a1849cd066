"""Salted hashing of units into buckets: the same here, in the browser SDK (sdk/js/src/buckets.ts) and in every process.

MurmurHash3 (x86, 32 bits), as Optimizely and Unleash use it; tests/experiments/running/vectors.json holds all to it.
"""

from typing import NamedTuple

import mmh3

BUCKETS = 10_000
"""Of a layer: shares are steps of one in ten thousand."""
PARTS = 2**32


class Range(NamedTuple):
    """Buckets from ``start`` up to, not including, ``end``."""

    start: int
    end: int


hashed = mmh3.mmh3_32_uintdigest
"""The hash of bytes under a seed: 0 to PARTS - 1."""


def seed_of_layer(layer: str) -> int:
    """Under which units fall into the buckets of a layer."""
    return hashed(f"layer/{layer}".encode())


def seed_of_salt(salt: str) -> int:
    """Under which an experiment's units fall to its variants."""
    return hashed(f"salt/{salt}".encode())


def bucket(layer: str, unit: str) -> int:
    """The unit's bucket in a layer: 0 to BUCKETS - 1."""
    return hashed(unit.encode(), seed_of_layer(layer)) * BUCKETS // PARTS


def point(salt: str, unit: str) -> int:
    """Where a unit falls under a salt: 0 to PARTS - 1."""
    return hashed(unit.encode(), seed_of_salt(salt))
