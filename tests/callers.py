"""Stored events as their callers know them: for tests that ask whether what was sent arrived."""

from collections.abc import Collection
from dataclasses import replace

from tailorbird.events.schema import Event, user_key
from tailorbird.privacy.door.door import Door
from tailorbird.privacy.door.minimise import SEALED


def as_sent(
    event: Event,
    door: Door,
    *,
    messages: Collection[str] = (),
    sessions: Collection[str] = (),
    recommendations: Collection[str] = (),
) -> Event:
    """The event under the callers' ids, with what was sealed of it; ids of messages, sessions and answers that are named are known again."""
    keys = {
        "user_id": user_key(user_id=event.user_id, anonymous_id=None) if event.user_id else "",
        "anonymous_id": user_key(user_id=None, anonymous_id=event.anonymous_id) if event.anonymous_id else "",
    }
    callers = door.callers_ids([key for key in keys.values() if key])
    personal = door.personal(event)
    named = {door.names.message(each): each for each in messages}
    answers = {door.names.recommendation(each): each for each in recommendations}
    within = {door.names.session(each): each for each in sessions}
    return replace(
        event,
        **{name: callers.get(key) for name, key in keys.items()},
        message_id=named.get(event.message_id, event.message_id),
        recommendation_id=answers.get(event.recommendation_id or "", event.recommendation_id),
        session_id=within.get(event.session_id or "", event.session_id),
        context={**event.context, **personal.get("context", {})},  # type: ignore[dict-item]
        properties={  # type: ignore[dict-item]
            **{name: value for name, value in event.properties.items() if name != SEALED},
            **personal.get("properties", {}),
        },
    )
