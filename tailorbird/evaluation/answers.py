"""Answers: the best items of every question, computed in batches so that memory stays bounded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tailorbird.evaluation.cases import Cases, QuestionBatch
from tailorbird.evaluation.ranks import DEPTH, best_items, mid_ranks, ranks_in
from tailorbird.events.interactions import Histories
from tailorbird.features.profiles import ProfileSource
from tailorbird.features.state import UserState
from tailorbird.models.base import Retrieved, Retriever

BATCH_SCORES = 2**24
"""Scores held at once: 64 MB of float32, whatever the catalogue's size."""

Scorer = Callable[[QuestionBatch], np.ndarray]
"""Scores the whole catalogue for the questions of a batch: (b, n_items)."""


@dataclass(frozen=True)
class Answers:
    """``rankings`` (q, k) int32 catalogue rows, best first, -1 where empty; ``ranks`` (n,) of the cases' targets."""

    rankings: np.ndarray
    ranks: np.ndarray


class Model(Protocol):
    """A model that retrieves and orders by itself, such as the hybrid."""

    def rank(
        self,
        histories: Histories,
        states: Sequence[UserState],
        *,
        k: int,
        exclude: Sequence[np.ndarray] | None = None,
    ) -> Retrieved:
        """Find the ``k`` best items of each history with its profile, ``exclude`` left out."""


def answer_by_scores(
    score: Scorer,
    cases: Cases,
    *,
    offered: np.ndarray | None = None,
    k: int = DEPTH,
    advance: Callable[[int], object] = lambda questions: None,
) -> Answers:
    """Rank the whole catalogue by ``score``; ranks are exact mid-ranks.

    ``offered`` (n_items,) bool restricts the answers to some items; seen items are left out where the
    protocol says so. ``advance`` hears how many questions each batch finished.
    """
    items = cases.known.item_count
    rankings = np.full((cases.question_count, k), -1, np.int32)
    ranks = np.full(len(cases), np.inf)
    for batch in cases.batches(max(1, min(1024, BATCH_SCORES // max(items, 1)))):
        scores = np.array(score(batch), np.float32)  # (b, n_items), a copy: it is masked below
        scores[batch.excluded()] = -np.inf
        if offered is not None:
            scores[:, ~offered] = -np.inf
        ranks[batch.low : batch.high] = mid_ranks(scores, batch.targets, question=batch.question)
        rankings[batch.start : batch.stop], _ = best_items(scores, k)
        advance(len(batch))
    return Answers(rankings, ranks)


def answer_by_retriever(
    retriever: Retriever,
    cases: Cases,
    *,
    offered: np.ndarray | None = None,
    k: int = DEPTH,
    advance: Callable[[int], object] = lambda questions: None,
) -> Answers:
    """Rank the whole catalogue by one retriever alone."""

    def score(batch: QuestionBatch) -> np.ndarray:
        return retriever.scores(retriever.encode(batch.histories()))

    return answer_by_scores(score, cases, offered=offered, k=k, advance=advance)


def answer_by_model(
    model: Model,
    cases: Cases,
    *,
    profiles: ProfileSource,
    k: int = DEPTH,
    batch_size: int = 256,
    advance: Callable[[int], object] = lambda questions: None,
) -> Answers:
    """Rank by a model that retrieves and orders, as serving does; a target that it leaves out has rank inf."""
    rankings = np.full((cases.question_count, k), -1, np.int32)
    scores = np.full((cases.question_count, k), -np.inf, np.float32)
    for batch in cases.batches(batch_size):
        histories = batch.histories()
        states = profiles.states_at(list(batch.user_ids), batch.now)
        exclude = [histories.seen(row) for row in range(len(batch))] if cases.exclude_seen else None
        found = model.rank(histories, states, k=k, exclude=exclude)
        width = min(k, found.rows.shape[1])
        rankings[batch.start : batch.stop, :width] = found.rows[:, :width]
        scores[batch.start : batch.stop, :width] = found.scores[:, :width]
        advance(len(batch))
    return Answers(rankings, ranks_in(rankings, cases.targets, scores=scores, question=cases.question))
