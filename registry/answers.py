"""Asking a model without a feature store: the profile is what a given history says, and no more."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tailorbird.events.schema import Event
from tailorbird.features.facts import ItemFacts
from tailorbird.features.state import UserState
from tailorbird.models.base import Retrieved
from tailorbird.models.hybrid.stages import recommender_of
from tailorbird.slate.query import Query, Ranking

SECONDS_APART = 60.0
"""Events of a bare history are taken to lie a minute apart, the latest a minute ago."""


class HistoryRecommender:
    """Turns lists of item ids into questions to one model."""

    def __init__(self, model: Any, *, now: float) -> None:
        self._recommender, self._now = recommender_of(model), now
        self._facts = ItemFacts.of(model.catalog)

    def rank(self, histories: Sequence[Sequence[str]], *, k: int) -> Retrieved:
        """The ``k`` best items for each history (item ids, oldest first; unknown ids are passed over), none of them seen."""
        rows = np.full((len(histories), k), -1, np.int64)
        scores = np.full((len(histories), k), -np.inf, np.float32)
        for place, items in enumerate(histories):
            found = self._ranking(Query(self._state(place, items), self._now, k=k, keep_seen=False))
            best = min(k, len(found.scores))
            rows[place, :best], scores[place, :best] = found.candidates.rows[:best], found.scores[:best]
        return Retrieved(rows, scores)

    def _ranking(self, query: Query) -> Ranking:
        return self._recommender.rank([query], [self._recommender.screen(query)])[0]

    def _state(self, number: int, items: Sequence[str]) -> UserState:
        start = self._now - SECONDS_APART * len(items)
        events = [
            Event(
                message_id=f"{number}-{place}",
                type="click",
                event_time=start + SECONDS_APART * place,
                received_time=start + SECONDS_APART * place,
                user_id=f"user-{number}",
                item_id=item,
            )
            for place, item in enumerate(items)
        ]
        return UserState.empty(f"user-{number}").fold(events, self._facts)


def answer_table(
    asker: HistoryRecommender, questions: pd.DataFrame, *, item_ids: np.ndarray, k: int
) -> pd.DataFrame:
    """Answer a table with the optional columns ``user_id`` and ``history``: ``user_id, item_ids, scores`` a row."""
    users = questions["user_id"].fillna("").astype(str) if "user_id" in questions else [""] * len(questions)
    given: Iterable[object] = questions["history"] if "history" in questions else [None] * len(questions)
    found = asker.rank([_ids(history) for history in given], k=max(k, 0))
    offered = found.rows >= 0
    return pd.DataFrame(
        {
            "user_id": list(users),
            "item_ids": [item_ids[row[mask]].tolist() for row, mask in zip(found.rows, offered, strict=True)],
            "scores": [
                score[mask].astype(float).tolist() for score, mask in zip(found.scores, offered, strict=True)
            ],
        },
        index=questions.index,
    )


def _ids(history: object) -> list[str]:
    if history is None or isinstance(history, float):
        return []
    return [str(item) for item in history]  # type: ignore[attr-defined]
