"""Select: from ranked items to what is shown, not all of one kind."""

from dataclasses import dataclass

import numpy as np

from tailorbird.plumbing.compiled import compiled

WINDOW = 20
"""Consecutive places among which a category has its share: what stands first does not depend on how many are asked for."""


@dataclass(frozen=True)
class VarietySelector:
    """Takes the best items, but lets no category fill more than ``max_share`` of a page while others wait.

    What exceeds its share is not lost: it waits for the next page, and returns at once when nothing else is left.
    The first items of a long list are the short list, so what is measured in a list of a hundred is what a page shows.
    """

    max_share: float = 1.0

    @property
    def limit(self) -> int:
        """Items of one category in WINDOW consecutive places while others wait."""
        return max(1, int(np.ceil(self.max_share * WINDOW)))

    def select(self, shelves: np.ndarray, k: int) -> np.ndarray:
        """(min(k, c),) places to show, best first, of ranked items whose category codes are ``shelves`` (c,)."""
        k, limit = min(k, len(shelves)), self.limit
        if limit >= WINDOW:
            return np.arange(k)
        return _varied(shelves, k, limit)


@compiled
def _varied(shelves: np.ndarray, k: int, limit: int) -> np.ndarray:
    chosen, taken = np.empty(k, np.int64), np.zeros(len(shelves), np.bool_)
    used = np.zeros(max(1, shelves.max() + 1) if len(shelves) else 1, np.int64)
    count, first = 0, 0
    while count < k:
        used[:] = 0
        end = min(k, count + WINDOW)
        while first < len(shelves) and taken[first]:
            first += 1
        place = first
        while count < end and place < len(shelves):
            shelf = shelves[place]
            if not taken[place] and (shelf < 0 or used[shelf] < limit):
                if shelf >= 0:
                    used[shelf] += 1
                taken[place], chosen[count] = True, place
                count += 1
            place += 1
        place = first
        while count < end:  # only categories that had their share are left
            if not taken[place]:
                taken[place], chosen[count] = True, place
                count += 1
            place += 1
    return chosen
