"""What every retriever is: fit, encode, retrieve, score, save and load. Its laws are in tests/models/laws.py."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from tailorbird.catalog.catalog import Catalog
from tailorbird.events.interactions import Histories, Interactions


@dataclass(frozen=True)
class Retrieved:
    """The best items of each query: ``rows`` (b, k) int64, -1 where there are fewer; ``scores`` (b, k) float32."""

    rows: np.ndarray
    scores: np.ndarray


class Retriever(ABC):
    """A source of candidates.

    ``encode`` turns histories into queries once; ``retrieve``, ``score`` and ``scores`` use them. Queries are opaque to
    the caller. An empty history is a valid query. Predicting never mutates.
    """

    name: ClassVar[str]

    @abstractmethod
    def fit(self, interactions: Interactions, catalog: Catalog) -> Self:
        """Learn from ``interactions``; items are rows of ``catalog``. Returns self."""

    @abstractmethod
    def encode(self, histories: Histories) -> Any:
        """Turn a batch of histories into queries (for dot-product retrievers: (b, d) float32)."""

    @abstractmethod
    def retrieve(self, queries: Any, k: int) -> Retrieved:
        """Find the ``k`` best items of each query, best first. Seen items are not excluded here."""

    @abstractmethod
    def score(self, queries: Any, rows: np.ndarray) -> np.ndarray:
        """Score given candidates: ``rows`` (b, c) int64, -1 allowed ▸ (b, c) float32, -inf where rows is -1."""

    @abstractmethod
    def scores(self, queries: Any) -> np.ndarray:
        """Score the whole catalogue: (b, n_items) float32. Offline use."""

    def scores_of_one(self, history: Histories) -> np.ndarray:
        """Score the whole catalogue for one history without runs: (n_items,) float32, the path of a request."""
        scores: np.ndarray = self.scores(self.encode(history))[0]
        return scores

    def scores_of_each(self, histories: list[Histories]) -> list[np.ndarray]:
        """The same for several histories of one user each: requests that are answered together."""
        return [self.scores_of_one(history) for history in histories]

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write everything ``load`` needs into ``folder`` (safetensors, npy, json, faiss; never pickle)."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote; arrays are memory-mapped where that helps."""
