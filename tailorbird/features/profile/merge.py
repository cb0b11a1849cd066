"""Merging profiles: one person's keys are kept apart in the store and joined whenever they are read, so they can be parted."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce

import numpy as np

from tailorbird.features.history.records import MICROSECONDS
from tailorbird.features.history.sums import AFFINITY_RATE, USER_RATES
from tailorbird.features.profile.shares import consents_on, own_turn, share_of
from tailorbird.features.profile.state import UserState
from tailorbird.features.profile.within import usable
from tailorbird.features.table import HISTORY_LENGTH

Fetch = Callable[[Sequence[int], Sequence[str]], Sequence[UserState]]
"""Get the states of further keys, each as of the instant of the profile at the given place."""


def merge_states(a: UserState, b: UserState, *, length: int = HISTORY_LENGTH) -> UserState:
    """One profile of what was done under two keys, as if it had all been done under one.

    Commutative, and associative up to rounding. Two states of *one* key are not added but the one that knows more is
    taken, so a key counts once. The merged state goes by the greater key: a user's before an anonymous one's.
    """
    if a.user_key == b.user_key:
        return max(a, b, key=lambda state: (state.total, state.last_seen, state.links.digest))
    key = max(a.user_key, b.user_key)
    links, applied = a.links.joined(b.links), a.applied.joined(b.applied)
    if not a.total or not b.total:
        return replace(
            a if a.total else b,
            user_key=key,
            links=links,
            applied=applied,
            had_set=a.had_set.joined(b.had_set),
            hidden_set=a.hidden_set.joined(b.hidden_set),
        )
    last_seen = max(a.last_seen, b.last_seen)
    earlier, later = (_at(state, last_seen) for state in sorted((a, b), key=lambda each: each.user_key))
    affinity_keys, affinity = _added(earlier, later)
    return UserState(
        user_key=key,
        history=_united(earlier.history, later.history)[-length:],
        sums=earlier.sums + later.sums,
        affinity_keys=affinity_keys,
        affinity=affinity,
        had_set=a.had_set.joined(b.had_set),
        hidden_set=a.hidden_set.joined(b.hidden_set),
        links=links,
        first_seen=min(a.first_seen, b.first_seen),
        last_seen=last_seen,
        total=a.total + b.total,
        applied=applied,
    )


def merge_all(states: Sequence[UserState], *, length: int = HISTORY_LENGTH) -> UserState:
    """The profile of one person's keys, each counted once, in a fixed order of summing. Needs at least one state."""
    by_key: dict[str, UserState] = {}
    for state in states:
        known = by_key.get(state.user_key)
        by_key[state.user_key] = state if known is None else merge_states(known, state, length=length)
    parts = [by_key[key] for key in sorted(by_key)]
    return reduce(lambda left, right: merge_states(left, right, length=length), parts)


def whole_profile(own: UserState, linked: Sequence[UserState], *, length: int = HISTORY_LENGTH) -> UserState:
    """A person's profile as an answer reads it: their own, joined with what is theirs of the devices linked to them.

    Of a device by itself it is what was done since it was last handed over. Of words on a purpose, whichever key they were
    said under, the newest counts; where it refuses personalization, or a
    restriction holds, nothing is left.
    """
    if not linked:
        turn = own_turn(own)
        return usable(turn, turn.links.consents)
    parts = [own, *(share_of(device, own.user_key) for device in linked)]
    consents = own.links.consents
    for device in linked:
        consents = consents.joined(consents_on(device, own.user_key))
    if not consents:
        return merge_all(parts, length=length)
    whole = merge_all([usable(part, consents) for part in parts], length=length)
    return replace(whole, links=replace(whole.links, consents=consents))


def with_linked(
    states: Sequence[UserState], fetch: Fetch, *, length: int = HISTORY_LENGTH
) -> list[UserState]:
    """:func:`whole_profile` of each; asks ``fetch`` for the linked keys once, and only if there are any."""
    wanted = [(place, key) for place, state in enumerate(states) for key in state.links.keys]
    parts: dict[int, list[UserState]] = {}
    found = fetch([place for place, _ in wanted], [key for _, key in wanted]) if wanted else []
    for (place, _), part in zip(wanted, found, strict=True):
        parts.setdefault(place, []).append(part)
    return [whole_profile(state, parts.get(place, ()), length=length) for place, state in enumerate(states)]


def _at(state: UserState, reference: int) -> UserState:
    """The same profile with its decayed sums moved to a later instant (epoch microseconds)."""
    elapsed = (reference - state.last_seen) / MICROSECONDS
    if not elapsed:
        return state
    return replace(
        state,
        sums=state.sums * np.exp2(USER_RATES * -elapsed),
        affinity=state.affinity * 2.0 ** (-elapsed * AFFINITY_RATE),
    )


def _united(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    together = np.concatenate([one, other])
    return together[np.lexsort((together["message"], together["time"]))]


def _added(one: UserState, other: UserState) -> tuple[np.ndarray, np.ndarray]:
    keys = np.union1d(one.affinity_keys, other.affinity_keys)
    affinity = np.zeros(len(keys))
    for state in (one, other):
        affinity[np.searchsorted(keys, state.affinity_keys)] += state.affinity
    return keys, affinity
