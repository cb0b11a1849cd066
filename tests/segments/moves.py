"""Moves for tests: somebody who went from one segment to another."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tailorbird.events.schema import Event
from tailorbird.segments.move import Move

MOVED = Move(
    user_id="ann",
    anonymous_id=None,
    model="3",
    from_segment="browser",
    to_segment="luxury-evening",
    segment="buys luxury in the evening",
    evidence=0.4,
    reason="3 purchases above 200 this week",
    cause="m1",
    at=1_750_000_000.25,
    rules_entered=("big-spender-away",),
)


def moved(**said: object) -> Move:
    """MOVED with other values."""
    return replace(MOVED, **said)  # type: ignore[arg-type]


def with_moves(events: Sequence[Event], rng: np.random.Generator) -> list[Event]:
    """A third of the events followed by a move that they caused."""
    mixed = []
    for event in events:
        mixed.append(event)
        if rng.random() < 0.34:
            person = {"user_id": event.user_id, "anonymous_id": event.anonymous_id}
            mixed.append(moved(**person, cause=event.message_id, at=event.received_time).to_event())
    return mixed
