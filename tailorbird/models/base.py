"""What every retriever is: fit, ask, save and load. Its laws are in tests/models/laws.py."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from tailorbird.catalog.catalog import Catalog
from tailorbird.events.interactions import Histories, Interactions
from tailorbird.models.allowed import Allowed


class Asked(Protocol):
    """What one request asks of one source. Neither answer makes anything that is as long as a large catalogue."""

    def best(self, k: int, allowed: Allowed) -> np.ndarray:
        """(≤ k,) int64 rows with the highest scores, best first; of equal ones the lower row.

        A score of exactly zero, -inf or NaN says nothing for its row.
        """

    def score(self, rows: np.ndarray) -> np.ndarray:
        """(c,) float32 scores of the items ``rows`` (c,) int64, all >= 0."""


class Retriever(ABC):
    """A source of candidates.

    Requests go through ``ask``. Offline, ``encode`` turns a batch of histories into queries, opaque to the caller, and
    ``scores`` uses them. An empty history is a valid query. Predicting never mutates.
    """

    name: ClassVar[str]

    @abstractmethod
    def fit(self, interactions: Interactions, catalog: Catalog) -> Self:
        """Learn from ``interactions``; items are rows of ``catalog``. Returns self."""

    @abstractmethod
    def ask(self, histories: Sequence[Histories]) -> Sequence[Asked]:
        """Several histories of one user each, without runs: requests that are answered together."""

    @abstractmethod
    def encode(self, histories: Histories) -> Any:
        """Turn a batch of histories into queries (for dot-product retrievers: (b, d) float32)."""

    @abstractmethod
    def scores(self, queries: Any) -> np.ndarray:
        """Score the whole catalogue: (b, n_items) float32. Offline use."""

    def grown(self, rows: np.ndarray, texts: np.ndarray | None, *, count: int) -> Self:
        """The same source over ``count`` items, of which ``rows`` (m,) are new or speak of themselves anew.

        ``texts`` (m, d) are their texts' vectors, None where these cannot be made. A source that knows items by what happened to them has nothing to say of
        those that are new, and is the same.
        """
        return self

    def settled(self) -> Self:
        """The same source, what lies beside its index taken into a new one where that has become much."""
        return self

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write everything ``load`` needs into ``folder`` (safetensors, npy, json, faiss; never pickle)."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote; arrays are memory-mapped where that helps."""
