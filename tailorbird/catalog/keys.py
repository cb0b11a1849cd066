"""Keys of names: 64 bits that are the same in every process, and the rows that they belong to."""

import hashlib
from collections.abc import Iterable

import numpy as np


def stable_key(text: str | None) -> int:
    """Hash a name to a signed 64-bit key that is the same in every process; 0 stands for none."""
    if not text:
        return 0
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)


def stable_keys(names: Iterable[str | None]) -> np.ndarray:
    """(n,) int64 keys of ``names``."""
    return np.fromiter((stable_key(name) for name in names), dtype=np.int64)


def rows_of_keys(ordered: np.ndarray, rows: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """(m,) int64 rows of ``keys`` (m,), where ``ordered`` (n,) ascending keys belong to ``rows`` (n,); -1 where one is unknown."""
    if not len(ordered) or not len(keys):
        return np.full(len(keys), -1, np.int64)
    where = np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)
    return np.where(ordered[where] == keys, rows[where], -1)


def by_key(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) int64 ``keys`` ascending, and (n,) int64 the rows that they belong to."""
    order = np.argsort(keys, kind="stable").astype(np.int64)
    return np.ascontiguousarray(keys[order]), order
