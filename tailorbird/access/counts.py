"""Counts of calls that all replicas of a machine share: a small mapped file, for the windows of the ``limits`` library."""

import fcntl
import hashlib
import mmap
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from limits.storage import Storage

SLOTS = 8_192
PROBES = 16
"""Places where a count may lie: where all are taken by others, the one that ends first gives way."""
_SLOT = struct.Struct("<16sdQ")  # whose, when its window ends (epoch seconds), how many


class SharedCounts(Storage):
    """Fixed windows; what was counted outlasts a restart."""

    STORAGE_SCHEME = None

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._clock, self._turn = clock, threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(self._file, SLOTS * _SLOT.size)
        self._slots = mmap.mmap(self._file, SLOTS * _SLOT.size)

    @property
    def base_exceptions(self) -> type[Exception]:
        """What may go wrong."""
        return OSError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count; a window begins with the first call in it."""
        name, now = _named(key), self._clock()
        with self._turn:  # not by _held(): this is on the way of every call
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                place, end, count = self._find(name)
                if end <= now:
                    end, count = now + expiry, 0
                _SLOT.pack_into(self._slots, place, name, end, count + amount)
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)
        return count + amount

    def get(self, key: str) -> int:
        """How many the window has."""
        now = self._clock()
        with self._held():
            _, end, count = self._find(_named(key))
        return count if end > now else 0

    def get_expiry(self, key: str) -> float:
        """When the window ends; now, where there is none."""
        now = self._clock()
        with self._held():
            _, end, _ = self._find(_named(key))
        return max(end, now)

    def check(self) -> bool:
        """Whether anything can be counted."""
        return True

    def reset(self) -> int | None:
        """Forget all."""
        with self._held():
            self._slots[:] = bytes(len(self._slots))
        return None

    def clear(self, key: str) -> None:
        """Forget one."""
        with self._held():
            place, _, _ = self._find(_named(key))
            _SLOT.pack_into(self._slots, place, _named(key), 0.0, 0)

    def _find(self, name: bytes) -> tuple[int, float, int]:
        """Place, end and count of a window; where there is none, a place for one and (0, 0)."""
        first, room, earliest = int.from_bytes(name[:8], "little"), 0, float("inf")
        for probe in range(PROBES):
            place = (first + probe) % SLOTS * _SLOT.size
            found, end, count = _SLOT.unpack_from(self._slots, place)
            if found == name:
                return place, end, count
            if end < earliest:
                room, earliest = place, end
        return room, 0.0, 0

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Threads of this process by a lock of its own: the file's is one for all who share its handle."""
        with self._turn:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)


@lru_cache(maxsize=10_000)
def _named(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=16).digest()
