"""Select: from ranked items to one page, not all of one kind."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class VarietySelector:
    """Takes the best items, but lets no category fill more than ``max_share`` of the page while others wait.

    What exceeds its share is not lost: it moves behind the items that fit, and returns when nothing else is left.
    """

    max_share: float = 0.6

    def select(self, shelves: np.ndarray, k: int) -> np.ndarray:
        """(min(k, c),) places to show, best first, of ranked items whose category codes are ``shelves`` (c,)."""
        limit = max(1, int(np.ceil(self.max_share * k)))
        if len(shelves) <= 1 or limit >= k:
            return np.arange(min(k, len(shelves)))
        if np.bincount(shelves[:k] + 1)[1:].max(initial=0) <= limit:  # the usual case
            return np.arange(min(k, len(shelves)))
        used: dict[int, int] = {}
        chosen: list[int] = []
        late: list[int] = []
        for place, shelf in enumerate(shelves.tolist()):
            count = used.get(shelf, 0)
            if shelf >= 0 and count >= limit:
                late.append(place)
                continue
            used[shelf] = count + 1
            chosen.append(place)
            if len(chosen) == k:
                break
        return np.asarray((chosen + late)[:k], dtype=np.int64)
