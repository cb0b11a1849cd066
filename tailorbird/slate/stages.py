"""The model's part of the work: what a recommender asks of it, stage by stage."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from tailorbird.models.allowed import Allowed
from tailorbird.models.ranker.ranker import Inputs
from tailorbird.slate.newcomers import Newcomers
from tailorbird.slate.query import Candidates, Query


class Stages(Protocol):
    """The model's part of the work, over the rows of one catalogue, for several queries at a time."""

    def retrieve(
        self, queries: Sequence[Query], *, depths: Sequence[int], allowed: Sequence[Allowed]
    ) -> list[Candidates]:
        """For each query find candidates among the ``allowed``; each remembers its sources."""

    def score(
        self, queries: Sequence[Query], candidates: Sequence[Candidates]
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each query score its candidates: (c,) float32, and the (u,) user features used."""

    def admit(self, query: Query, rows: np.ndarray) -> Candidates:
        """Make candidates of given rows."""

    def inputs(self, query: Query, candidates: Candidates) -> Inputs | None:
        """What the ranker reads of given candidates; None where there is no ranker."""

    def neighbours(self, row: int, *, depth: int) -> tuple[Candidates, np.ndarray]:
        """The items most like one item, with their (c,) float32 scores, best first."""

    @property
    def heads(self) -> tuple[str, ...]:
        """The outcomes whose weights may order candidates; () where there is one score alone."""

    def newcomers(self, *, new_days: float, first_impressions: int) -> Newcomers:
        """The items that are new, with their chances of a place that is kept for those."""
