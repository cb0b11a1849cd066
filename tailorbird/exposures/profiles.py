"""The profile an answer was made from, rebuilt from the stream of events as it was at the answer's instant."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tailorbird.events.schema import MOVE, Event
from tailorbird.features.consent.handovers import ALWAYS
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.profile.folding import fold
from tailorbird.features.profile.merge import whole_profile
from tailorbird.features.profile.state import UserState

DOUBTFUL = 32
"""Newest events of which some may have been received, but not folded in yet, when the answer was made."""

Parts = Mapping[str, UserState]
"""What was done under each of a person's keys."""


@dataclass(frozen=True)
class Rebuilt:
    """``state`` is made of ``events``; ``exact`` where its version is the one that the answer names."""

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
    taken_back: int = ALWAYS[0],
) -> Rebuilt:
    """The profile with ``version`` at ``instant`` (epoch seconds).

    No basis covers what was before ``taken_back`` (epoch microseconds). A live profile keeps what it took in before it was told so,
    and takes in no more of it; one that was made anew has none: each is tried.

    ``events`` are the person's and those of the keys linked to them, in the order of their arrival. An event counts from
    when it was received. The last ones before the instant may have been on their way to the profile, so of the states
    they lead to the one with the right version is taken; where none has it, the newest.
    """
    received = [event for event in events if event.received_time <= instant and event.type != MOVE]
    kept = [(ALWAYS[0], ALWAYS[0]), (ALWAYS[0], taken_back), (taken_back, taken_back)]
    found = Rebuilt(UserState.empty(user_key), received, exact=False)
    for before, since in dict.fromkeys(kept):

        def added(
            parts: Parts, some: Sequence[Event], before: int = before, since: int = since
        ) -> dict[str, UserState]:
            early = [event for event in some if event.received_time * 1e6 < taken_back]
            late = [event for event in some if event.received_time * 1e6 >= taken_back]
            parts = fold_parts(parts, early, facts, history_length=history_length, taken_back=before)
            return fold_parts(parts, late, facts, history_length=history_length, taken_back=since)

        found = _rebuilt(user_key, received, added, version=version, history_length=history_length)
        if found.exact:
            break
    return found


def _rebuilt(
    user_key: str,
    received: Sequence[Event],
    added: Callable[[Parts, Sequence[Event]], Parts],
    *,
    version: str,
    history_length: int,
) -> Rebuilt:
    sure = max(0, len(received) - DOUBTFUL)
    parts = added({}, received[:sure])
    state = joined_parts(parts, user_key, history_length=history_length)
    found = Rebuilt(state, received[:sure], exact=True) if state.version == version else None
    for count in range(sure, len(received)):
        parts = added(parts, [received[count]])
        state = joined_parts(parts, user_key, history_length=history_length)
        if state.version == version:
            found = Rebuilt(state, received[: count + 1], exact=True)
    return found or Rebuilt(state, received, exact=False)


def fold_parts(
    parts: Parts,
    events: Sequence[Event],
    facts: ItemFacts,
    *,
    history_length: int,
    taken_back: int = ALWAYS[0],
) -> dict[str, UserState]:
    """The parts with ``events`` added, each to its own key's; no basis covers what was before ``taken_back`` (epoch microseconds)."""
    by_key: dict[str, list[Event]] = {}
    for event in events:
        by_key.setdefault(event.user_key, []).append(event)
    folded = dict(parts)
    for key, some in by_key.items():
        part = parts.get(key, UserState.empty(key))
        folded[key] = fold(part, some, facts, length=history_length, taken_back=taken_back)
    return folded


def joined_parts(parts: Parts, user_key: str, *, history_length: int) -> UserState:
    """One profile of the person's own part and those that are linked to it, as an answer reads it."""
    own = parts.get(user_key, UserState.empty(user_key))
    linked = [parts[key] for key in own.links.keys if key in parts]
    return whole_profile(own, linked, length=history_length)
