"""What may be proposed in one request: what holds for all is looked up by row, what this one leaves out is a short list."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tailorbird.plumbing.compiled import compiled

NO_ROWS = np.zeros(0, np.int64)


class Blocked:
    """Rows that nobody gets for now: ``code`` (n,) uint8 is 0 where a row is free. Shared by requests, never changed."""

    def __init__(self, code: np.ndarray) -> None:
        self.code = code

    @classmethod
    def nothing(cls, count: int) -> "Blocked":
        """All of ``count`` rows are free."""
        return cls(np.zeros(count, np.uint8))

    def __len__(self) -> int:
        return len(self.code)

    @cached_property
    def counts(self) -> np.ndarray:
        """(256,) how many rows have each code."""
        return np.bincount(self.code, minlength=256)

    @cached_property
    def free_bits(self) -> np.ndarray:
        """(n / 8,) uint8: a bit a row, the lowest first, 1 where it is free."""
        return np.packbits(self.code == 0, bitorder="little")

    @cached_property
    def free_rows(self) -> np.ndarray:
        """(m,) int32 rows that are free, ascending."""
        return np.flatnonzero(self.code == 0).astype(np.int32)


@dataclass(frozen=True, eq=False)
class Allowed:
    """Rows that are free in ``blocked`` and not among ``few`` (m,) int64, ascending, each once and free otherwise."""

    blocked: Blocked
    few: np.ndarray

    @classmethod
    def all_but(cls, count: int, rows: np.ndarray = NO_ROWS) -> "Allowed":
        """Every row of ``count`` but ``rows``."""
        return cls(Blocked.nothing(count), np.unique(np.asarray(rows, np.int64)))

    def __len__(self) -> int:
        return int(self.blocked.counts[0]) - len(self.few)

    @property
    def share(self) -> float:
        """Of all rows."""
        return len(self) / max(len(self.blocked), 1)

    def of(self, rows: np.ndarray) -> np.ndarray:
        """(c,) bool: which of ``rows`` (c,) may be proposed."""
        return _free(rows, self.blocked.code, self.few)

    def rows(self) -> np.ndarray:
        """(m,) int64: all that may be proposed, ascending. Costs what they are many."""
        free = self.blocked.free_rows.astype(np.int64)
        return free[_free(free, self.blocked.code, self.few)] if len(self.few) else free

    def mask(self) -> np.ndarray:
        """(n,) bool over all rows: for small catalogues."""
        mask: np.ndarray = self.blocked.code == 0
        mask[self.few] = False
        return mask


@compiled
def _free(rows: np.ndarray, code: np.ndarray, few: np.ndarray) -> np.ndarray:
    free = np.empty(len(rows), np.bool_)
    for place in range(len(rows)):
        row = rows[place]
        free[place] = code[row] == 0
        if free[place] and len(few):
            at = np.searchsorted(few, row)
            free[place] = at == len(few) or few[at] != row
    return free
