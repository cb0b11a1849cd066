"""Values by row of a catalogue, made when a row is first asked for: what few requests need is not made for all."""

import threading
from collections.abc import Callable
from copy import copy

import numpy as np

ROOM = 4_096
"""Rows that may come."""
KEPT = 131_072
"""Rows whose values are kept; when they are that many, they are made anew as they are asked for."""


class RowCache:
    """``make`` turns rows (c,) into their values (c, w) float32; those of up to ``kept`` rows lie ready."""

    def __init__(self, count: int, make: Callable[[np.ndarray], np.ndarray], *, kept: int = KEPT) -> None:
        self._make, self._most = make, kept
        self._held = _Held(count + ROOM + count // 8)
        self._adding = threading.Lock()

    def grown(self, count: int, make: Callable[[np.ndarray], np.ndarray]) -> "RowCache":
        """The same values for more rows, ``count`` in all; made anew where there is no room for them."""
        if count > len(self._held.slots):
            return RowCache(count, make, kept=self._most)
        fresh = copy(self)
        fresh._make = make
        return fresh

    def take(self, rows: np.ndarray) -> np.ndarray:
        """(c, w) the values of ``rows`` (c,)."""
        held = self._held
        slots = held.slots[rows]
        if len(slots) and slots.all():
            return held.values[slots]
        missing = np.unique(rows[slots == 0])
        made = self._make(missing)
        values = held.values[slots] if len(held.values) else np.empty((len(rows), made.shape[1]), np.float32)
        values[slots == 0] = made[np.searchsorted(missing, rows[slots == 0])]
        if len(missing) <= self._most:
            self._keep(missing, made)
        return values

    def _keep(self, rows: np.ndarray, made: np.ndarray) -> None:
        with self._adding:
            held = self._held
            if held.used + len(rows) > self._most:  # who reads the values of before goes on with them
                held = self._held = _Held(len(held.slots))
            fresh = held.slots[rows] == 0
            held.add(rows[fresh], made[fresh], room=self._most)


class _Held:
    """``values[slots[row]]`` are a row's; slot 0 stands for none. The first ``used`` slots after it are taken."""

    def __init__(self, rows: int) -> None:
        self.slots = np.zeros(rows, np.int32)
        self.values = np.empty((0, 0), np.float32)
        self.used = 0

    def add(self, rows: np.ndarray, values: np.ndarray, *, room: int) -> None:
        """Keep ``values`` (c, w) of ``rows`` (c,), none of which are held."""
        if not len(self.values):
            self.values = np.empty((room + 1, values.shape[1]), np.float32)
        slots = np.arange(self.used + 1, self.used + 1 + len(rows), dtype=np.int32)
        self.values[slots] = values  # before anybody finds them
        self.slots[rows] = slots
        self.used += len(rows)
