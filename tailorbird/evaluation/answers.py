"""Answers: the best items of every question, computed in batches so that memory stays bounded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tailorbird.errors import TailorbirdError
from tailorbird.evaluation.cases import Cases, QuestionBatch
from tailorbird.evaluation.ranks import DEPTH, best_items, mid_ranks, ranks_in
from tailorbird.features.demographics import Demographics
from tailorbird.features.history.contexts import NO_CONTEXTS, PastContexts
from tailorbird.features.profile.source import ProfileSource
from tailorbird.models.base import Retriever
from tailorbird.slate.past import queries_at
from tailorbird.slate.recommender import Recommender

BATCH_SCORES = 2**24
"""Scores held at once: 64 MB of float32, whatever the catalogue's size."""

Scorer = Callable[[QuestionBatch], np.ndarray]
"""Scores the whole catalogue for the questions of a batch: (b, n_items)."""


@dataclass(frozen=True)
class Answers:
    """``rankings`` (q, k) int32 catalogue rows, best first, -1 where empty; ``ranks`` (n,) of the cases' targets."""

    rankings: np.ndarray
    ranks: np.ndarray


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


def answer_by_recommender(
    recommender: Recommender,
    cases: Cases,
    *,
    profiles: ProfileSource,
    people: Mapping[str, Demographics],
    contexts: PastContexts = NO_CONTEXTS,
    k: int = DEPTH,
    batch_size: int = 64,
    advance: Callable[[int], object] = lambda questions: None,
) -> Answers:
    """Ask what serves: each question is the request that its user would have sent at that instant.

    An answer's first items do not depend on ``k``, so a deep list begins with the page that is shown. A target's rank
    is its place in the list as answered, inf where it is absent.

    Raises:
        TailorbirdError: the model fails at a question; a list that stands in for it must not be measured as its own.
    """
    row_of = recommender.catalog.row_of
    rankings = np.full((cases.question_count, k), -1, np.int32)
    for batch in cases.batches(batch_size):
        queries = queries_at(
            batch.user_ids,
            batch.now,
            profiles=profiles,
            people=people,
            contexts=contexts,
            k=k,
            keep_seen=not cases.exclude_seen,
        )
        for place, slate in enumerate(recommender.recommend_many(queries), batch.start):
            if slate.failure:
                raise TailorbirdError(
                    f"the model fails at a question of {cases.known.user_ids[cases.users[place]]}: {slate.failure}",
                    remedy="mend the model; what it cannot answer cannot be measured",
                )
            rows = [row_of[item.item_id] for item in slate.items]
            rankings[place, : len(rows)] = rows
        advance(len(batch))
    return Answers(rankings, ranks_in(rankings, cases.targets, question=cases.question))
