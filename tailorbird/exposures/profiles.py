"""The profile an answer was made from, rebuilt from the stream of events as it was at the answer's instant."""

from collections.abc import Sequence
from dataclasses import dataclass

from tailorbird.events.schema import Event
from tailorbird.features.facts import ItemFacts
from tailorbird.features.state import UserState

DOUBTFUL = 32
"""Newest events of which some may have been received, but not folded in yet, when the answer was made."""


@dataclass(frozen=True)
class Rebuilt:
    """``state`` is the fold of ``events``; ``exact`` where its version is the one that the answer names."""

    state: UserState
    events: Sequence[Event]
    exact: bool


def rebuild_profile(
    user_key: str,
    events: Sequence[Event],
    facts: ItemFacts,
    *,
    instant: float,
    version: str,
    history_length: int,
) -> Rebuilt:
    """The profile with ``version`` at ``instant`` (epoch seconds); ``events`` of one person, in the order of the stream.

    An event counts from when it was received. The last ones before the instant may have been on their way to the
    profile, so of the states they lead to the one with the right version is taken; where none has it, the newest.
    """
    received = [event for event in events if event.received_time <= instant]
    sure = max(0, len(received) - DOUBTFUL)
    state = UserState.empty(user_key).fold(received[:sure], facts, length=history_length)
    found = Rebuilt(state, received[:sure], exact=True) if state.version == version else None
    for count in range(sure, len(received)):
        state = state.fold([received[count]], facts, length=history_length)
        if state.version == version:
            found = Rebuilt(state, received[: count + 1], exact=True)
    return found or Rebuilt(state, received, exact=False)
