"""Asking a model without a feature store: the profile is what a given history says, and no more."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tailorbird.events.schema import Event
from tailorbird.features.facts import ItemFacts
from tailorbird.features.profiles import RowsOfKeys, histories_of
from tailorbird.features.state import UserState
from tailorbird.models.base import Retrieved

SECONDS_APART = 60.0
"""Events of a bare history are taken to lie a minute apart, the latest a minute ago."""


class HistoryRecommender:
    """Turns lists of item ids into questions to one model."""

    def __init__(self, model: Any, *, now: float) -> None:
        self._model, self._now = model, now
        self._facts = ItemFacts.of(model.catalog)
        self._rows_of = RowsOfKeys(model.catalog)

    def rank(self, histories: Sequence[Sequence[str]], *, k: int) -> Retrieved:
        """The ``k`` best items for each history (item ids, oldest first; unknown ids are passed over), none of them seen."""
        states = [self._state(number, items) for number, items in enumerate(histories)]
        now = np.full(len(states), self._now)
        seen = histories_of(states, self._rows_of, now=now)
        exclude = [seen.seen(row) for row in range(len(seen))]
        found: Retrieved = self._model.rank(seen, states, k=k, exclude=exclude, context=None)
        return found

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
