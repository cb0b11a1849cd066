"""Asking a recommender without a feature store: the profile is what a given history says, and no more."""

from collections.abc import Iterable, Sequence

import pandas as pd

from tailorbird.events.schema import Event
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.profile.folding import fold
from tailorbird.features.profile.state import UserState
from tailorbird.slate.query import Query
from tailorbird.slate.recommender import Recommender

SECONDS_APART = 60.0
"""Events of a bare history are taken to lie a minute apart, the latest a minute ago."""


def state_of(items: Sequence[str], facts: ItemFacts, *, user: str, now: float) -> UserState:
    """The profile of somebody of whom nothing is known but the items they clicked, oldest first; unknown ids say nothing."""
    start = now - SECONDS_APART * len(items)
    events = [
        Event(
            message_id=f"{user}-{place}",
            type="click",
            event_time=start + SECONDS_APART * place,
            received_time=start + SECONDS_APART * place,
            user_id=user,
            item_id=item,
        )
        for place, item in enumerate(items)
    ]
    return fold(UserState.empty(user), events, facts)


def answer_table(recommender: Recommender, questions: pd.DataFrame, *, now: float, k: int) -> pd.DataFrame:
    """Answer a table with the optional columns ``user_id`` and ``history`` as requests at ``now`` (epoch seconds) are.

    Gives ``user_id, item_ids, scores`` a row, best first; what the visitor has is left out.
    """
    users = questions["user_id"].fillna("").astype(str) if "user_id" in questions else [""] * len(questions)
    given: Iterable[object] = questions["history"] if "history" in questions else [None] * len(questions)
    facts = ItemFacts.of(recommender.catalog)
    queries = [
        Query(
            state_of(_ids(history), facts, user=f"row-{number}", now=now), now, k=max(k, 0), keep_seen=False
        )
        for number, history in enumerate(given)
    ]
    slates = recommender.recommend_many(queries)
    return pd.DataFrame(
        {
            "user_id": list(users),
            "item_ids": [[item.item_id for item in slate.items] for slate in slates],
            "scores": [[float(item.score) for item in slate.items] for slate in slates],
        },
        index=questions.index,
    )


def _ids(history: object) -> list[str]:
    if history is None or isinstance(history, float):
        return []
    return [str(item) for item in history]  # type: ignore[attr-defined]
