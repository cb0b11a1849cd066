"""An event as an application makes it: what somebody did, named once and for all when it is made."""

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tailorbird_client.answers import Recommendations


@dataclass(frozen=True)
class Event:
    """One thing that somebody did: of a ``user_id``, an ``anonymous_id``, or both.

    ``answer`` is the answer of the platform that led to it, ``position`` the item's place in it, from 0. ``timestamp`` is when
    it happened: by default now. An event keeps its ``message_id``, so that it counts once however often it is sent.
    """

    type: str
    user_id: str | None = None
    anonymous_id: str | None = None
    session_id: str | None = None
    item_id: str | None = None
    answer: Recommendations | None = None
    position: int | None = None
    value: float | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)
    timestamp: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    message_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def __post_init__(self) -> None:
        if self.user_id is None and self.anonymous_id is None:
            raise ValueError("an event needs user_id or anonymous_id")
        if self.timestamp.tzinfo is None:
            raise ValueError(
                f"timestamp {self.timestamp} has no time zone: give it one, such as datetime.UTC"
            )

    def to_json(self) -> dict[str, Any]:
        """The event as the platform takes it."""
        told: dict[str, Any] = {
            "messageId": self.message_id,
            "type": self.type,
            "userId": self.user_id,
            "anonymousId": self.anonymous_id,
            "sessionId": self.session_id,
            "itemId": self.item_id,
            "recommendationId": (self.answer.recommendation_id or None) if self.answer else None,
            "position": self.position,
            "value": self.value,
            "context": dict(self.context) or None,
            "properties": dict(self.properties) or None,
            "timestamp": self.timestamp.isoformat(),
        }
        return {name: value for name, value in told.items() if value is not None}
