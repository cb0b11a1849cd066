"""Sources that have something to say for few items only."""

from typing import Any

import numpy as np

from tailorbird.models.base import Retrieved, Retriever
from tailorbird.models.retrievers.best import best, take


class SparseRetriever(Retriever):
    """A source that scores few items of a history's surroundings: an exact zero says nothing for its item."""

    def retrieve(self, queries: Any, k: int) -> Retrieved:
        """The best of those that the source has something to say for."""
        scores = self.scores(queries)
        return best(np.where(scores == 0, -np.inf, scores), k)

    def score(self, queries: Any, rows: np.ndarray) -> np.ndarray:
        """Scores of given candidates; 0 where the source is silent."""
        return take(self.scores(queries), rows)
