"""Sets of item keys that a profile never forgets: the newest day of each key, bounded, packed for the stored row.

A set is two aligned arrays: ``keys`` (m,) int64 ascending and ``days`` (m,) uint16, whole days since 1970. Past the bound
the oldest go, by (day, key). Each step takes the newest day of a key, so order, batches and repetition do not matter: a
key that went had ``limit`` others before it, and days only grow.
"""

import zlib
from dataclasses import dataclass

import numpy as np

from tailorbird.features.history.sums import HIDE, TYPE_PRESENCE

KEPT_KEYS = 20_000
"""Keys of one set at most."""

DAY_US = 86_400_000_000
_LAST_DAY = np.iinfo(np.uint16).max
_RAW, _PACKED = b"\0", b"\1"
_WORTH_PACKING = 4_096
"""Keys from which on packing saves more than it costs: fewer are hashes, which hardly compress."""


@dataclass(frozen=True, eq=False)
class KeySet:
    """``keys`` (m,) int64 ascending with the newest day of each, ``days`` (m,) uint16."""

    keys: np.ndarray
    days: np.ndarray

    @classmethod
    def of(cls, keys: np.ndarray, times: np.ndarray, *, limit: int = KEPT_KEYS) -> "KeySet":
        """The set of ``keys`` (n,) touched at ``times`` (n,) epoch microseconds, each possibly several times."""
        if len(keys) < 2:
            return cls(keys, days_of(times)) if len(keys) else NOTHING
        return NOTHING.joined(_newest(keys, days_of(times)), limit=limit)

    def __len__(self) -> int:
        return len(self.keys)

    def joined(self, other: "KeySet", *, limit: int = KEPT_KEYS) -> "KeySet":
        """The union, with the newest day of each key."""
        if not len(other):
            return self
        if not len(self) and len(other) <= limit:
            return other
        if len(other) < len(self):
            small, large = other, self
        else:
            small, large = self, other
        return bounded(_inserted(large, small), limit)

    def to_bytes(self) -> bytes:
        """Pack: deltas of keys in planes of equal bytes, then days likewise, deflated where that saves something."""
        if len(self) < _WORTH_PACKING:
            return _RAW + self.keys.tobytes() + self.days.tobytes()
        steps = np.diff(self.keys.view(np.uint64), prepend=np.uint64(0))
        planes = steps.view(np.uint8).reshape(-1, 8).T, self.days.view(np.uint8).reshape(-1, 2).T
        return _PACKED + zlib.compress(b"".join(plane.tobytes() for plane in planes), 1)

    @classmethod
    def from_bytes(cls, packed: bytes) -> "KeySet":
        """Read what :meth:`to_bytes` wrote. Raises ValueError where it is damaged."""
        if packed == _RAW:
            return NOTHING
        if packed[:1] == _RAW:
            count, rest = divmod(len(packed) - 1, 10)
            if rest:
                raise ValueError(f"{len(packed)} bytes are no set of item keys")
            keys = np.frombuffer(packed, np.int64, count, 1)
            return cls(keys, np.frombuffer(packed, np.uint16, count, 1 + 8 * count))
        try:
            planes = np.frombuffer(zlib.decompress(packed[1:]), np.uint8)
        except zlib.error as error:
            raise ValueError(f"a set of item keys does not unpack: {error}") from error
        count = len(planes) // 10
        steps = np.ascontiguousarray(planes[: 8 * count].reshape(8, count).T).view(np.uint64)[:, 0]
        days = np.ascontiguousarray(planes[8 * count :].reshape(2, count).T).view(np.uint16)[:, 0]
        return cls(np.cumsum(steps, dtype=np.uint64).view(np.int64), days)


NOTHING = KeySet(np.zeros(0, np.int64), np.zeros(0, np.uint16))


def days_of(times: np.ndarray) -> np.ndarray:
    """(n,) uint16 whole days since 1970 of epoch microseconds; earlier and later ones count as the first and last day."""
    return np.minimum(np.maximum(times // DAY_US, 0), _LAST_DAY).astype(np.uint16)


def _newest(keys: np.ndarray, days: np.ndarray) -> KeySet:
    order = np.lexsort((days, keys))
    keys, days = keys[order], days[order]
    last = np.append(keys[1:] != keys[:-1], True)
    return KeySet(keys[last], days[last])


def _inserted(large: KeySet, small: KeySet) -> KeySet:
    where = np.searchsorted(large.keys, small.keys)
    known = where < len(large)
    known[known] = large.keys[where[known]] == small.keys[known]
    days = large.days.copy()
    days[where[known]] = np.maximum(days[where[known]], small.days[known])
    if known.all():
        return KeySet(large.keys, days)
    fresh = ~known
    return KeySet(
        np.insert(large.keys, where[fresh], small.keys[fresh]),
        np.insert(days, where[fresh], small.days[fresh]),
    )


def bounded(found: KeySet, limit: int = KEPT_KEYS) -> KeySet:
    """The newest ``limit`` of a set, by (day, key)."""
    if len(found) <= limit:
        return found
    newest = np.sort(np.lexsort((found.keys, found.days))[-limit:])
    return KeySet(found.keys[newest], found.days[newest])


def lasting_sets(packed: np.ndarray) -> tuple[KeySet, KeySet]:
    """The items that RECORDs ``packed`` (n,) say were met, and those they say were hidden."""
    named = packed["item"] != 0
    met, hides = named & (TYPE_PRESENCE[packed["type"]] > 0), named & (packed["type"] == HIDE)
    keys, times = packed["item"], packed["time"]
    return KeySet.of(keys[met], times[met]), KeySet.of(keys[hides], times[hides])
