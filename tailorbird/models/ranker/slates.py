"""Training slates as arrays: what the ranker reads of their items, of who asked and of the request."""

from dataclasses import dataclass

import numpy as np

from tailorbird.models.ranker.ranker import GROUPS


@dataclass(frozen=True)
class Slates:
    """Training slates, the taken item first: per candidate (m, c, ·) and per slate (m, ·) features; ``real`` (m, c)."""

    signals: np.ndarray
    item: np.ndarray
    cross: np.ndarray
    user: np.ndarray
    context: np.ndarray
    real: np.ndarray

    def __len__(self) -> int:
        return len(self.real)

    def where(self, mask: np.ndarray) -> "Slates":
        """Keep some of the slates."""
        return Slates(*(getattr(self, name)[mask] for name in (*GROUPS, "real")))
