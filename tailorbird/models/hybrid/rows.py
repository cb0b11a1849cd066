"""Values by row of a catalogue, made when a row is first asked for: what few requests need is not made for all."""

from collections.abc import Callable
from copy import copy

import numpy as np

ROOM = 4_096
"""Rows that may come; memory is taken by those that are asked for."""


class RowCache:
    """``make`` turns rows (c,) into their values (c, w) float32; each row's are made once and kept."""

    def __init__(self, count: int, make: Callable[[np.ndarray], np.ndarray]) -> None:
        self._make = make
        self._made = np.zeros(count + ROOM + count // 8, bool)
        self._values = np.empty((0, 0), np.float32)

    def grown(self, count: int, make: Callable[[np.ndarray], np.ndarray]) -> "RowCache":
        """The same values for more rows, ``count`` in all; made anew where there is no room for them."""
        if count > len(self._made) or not len(self._values):
            return RowCache(count, make)
        fresh = copy(self)
        fresh._make = make
        return fresh

    def take(self, rows: np.ndarray) -> np.ndarray:
        """(c, w) the values of ``rows`` (c,)."""
        missing = rows[~self._made[rows]]
        if len(missing) or not len(self._values):
            made = self._make(missing)
            if not len(self._values):  # only the pages that are written to take memory
                self._values = np.empty((len(self._made), made.shape[1]), np.float32)
            self._values[missing] = made
            self._made[missing] = True
        return self._values[rows]
