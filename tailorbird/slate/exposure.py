"""Exposure: one ``slate`` event per answer, with what off-policy learning and the parity proof need later."""

import base64
import secrets

import numpy as np

from tailorbird.events.schema import Event
from tailorbird.slate.query import Query, Slate

GREEDY_PROPENSITY = 1.0
"""Slates are deterministic: what was shown was certain to be shown."""


def new_recommendation_id(now: float) -> str:
    """An id that sorts by time, so that the log's index grows at its end."""
    return f"{int(now * 1_000_000):014x}{secrets.token_hex(6)}"


def exposure_event(
    slate: Slate,
    query: Query,
    *,
    recommendation_id: str,
    user_id: str | None,
    anonymous_id: str | None,
    session_id: str | None,
    scenario: str,
    arm: str,
    fallback: str,
) -> Event:
    """Record who was shown what, at which position, by which model, seen through which features."""
    first = len(query.shown)
    return Event(
        message_id=f"slate-{recommendation_id}",
        type="slate",
        event_time=query.now,
        received_time=query.now,
        user_id=user_id,
        anonymous_id=anonymous_id,
        session_id=session_id,
        recommendation_id=recommendation_id,
        context=query.context,
        properties={
            "scenario": scenario,
            "items": [item.item_id for item in slate.items],
            "scores": [round(item.score, 6) for item in slate.items],
            "positions": list(range(first, first + len(slate.items))),
            "sources": [list(item.sources) for item in slate.items],
            "propensity": GREEDY_PROPENSITY,
            "model": slate.model_name,
            "modelVersion": slate.model_version,
            "arm": arm,
            "fallback": fallback,
            "partial": slate.partial,
            "removed": {part.reason: len(part.rows) for part in slate.removed},
            "profileVersion": query.state.version,
            "userVector": encode_vector(slate.user_vector),
        },
    )


def encode_vector(vector: np.ndarray) -> str:
    """Pack float32 numbers as base64: a quarter of their JSON, and exact."""
    return base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode()


def decode_vector(text: str) -> np.ndarray:
    """Unpack what :func:`encode_vector` packed."""
    return np.frombuffer(base64.b64decode(text), "<f4")
