"""Requests of the past: what each person would have asked at an instant, for measuring and for learning."""

from collections.abc import Iterable, Mapping

import numpy as np

from tailorbird.features.demographics import NOBODY, Demographics, segment_of
from tailorbird.features.history.contexts import PastContexts
from tailorbird.features.profile.source import ProfileSource
from tailorbird.slate.query import Query


def queries_at(
    user_keys: Iterable[str],
    instants: np.ndarray,
    *,
    profiles: ProfileSource,
    people: Mapping[str, Demographics],
    contexts: PastContexts,
    k: int,
    keep_seen: bool | None = None,
) -> list[Query]:
    """One query a person and instant (epoch seconds): the profile strictly before it, the context of what followed."""
    keys = [str(key) for key in user_keys]
    states = profiles.states_at(keys, instants)
    queries = []
    for key, state, now, context in zip(
        keys, states, instants.tolist(), contexts.at(keys, instants), strict=True
    ):
        person = people.get(key, NOBODY)
        queries.append(
            Query(
                state=state,
                now=now,
                k=k,
                context=context,
                demographics=person,
                segment=segment_of(person),
                keep_seen=keep_seen,
            )
        )
    return queries
