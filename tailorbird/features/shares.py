"""Shares of a device's profile: what one person did under an anonymous id that others used, too."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tailorbird.catalog.keys import stable_key
from tailorbird.features.adding import add_records
from tailorbird.features.facts import BUCKETS, Items
from tailorbird.features.handovers import Turn
from tailorbird.features.keysets import DAY_US, KeySet, lasting_sets
from tailorbird.features.links import NO_LINKS
from tailorbird.features.state import UserState


def share_of(device: UserState, user_key: str) -> UserState:
    """What of a device's profile is a user's: all of it where nobody else had the device between their events."""
    handovers = device.links.handovers
    if not handovers:
        return device
    return replace(_within(device, handovers.turns_of(stable_key(user_key))), links=NO_LINKS)


def own_turn(device: UserState) -> UserState:
    """What of a device's profile is of whoever has it now; another key's profile is as it is."""
    handovers = device.links.handovers
    return _within(device, [handovers.turn_now()]) if handovers else device


def _within(state: UserState, turns: Sequence[Turn]) -> UserState:
    """The profile of what was done in ``turns``.

    All of it where they cover it. Else it is made of the events that the history still holds, affinities of their most
    specific category and brand; what was met or hidden lasts where its newest day lies within a turn.
    """
    if not state.total or any(turn.covers(state.first_seen, state.last_seen) for turn in turns):
        return state
    times = state.history["time"]
    inside = np.zeros(len(times), bool)
    for turn in turns:
        inside |= (turn.start <= times) & (times < turn.end)
    packed = np.ascontiguousarray(state.history[inside])
    met, hides = lasting_sets(packed)
    had, hidden = _lasting(state.had_set, turns).joined(met), _lasting(state.hidden_set, turns).joined(hides)
    empty = replace(UserState.empty(state.user_key), links=state.links, applied=state.applied)
    if not len(packed):
        return replace(empty, had_set=had, hidden_set=hidden)
    sums, keys, affinity, last_seen = add_records(
        empty.sums,
        empty.affinity_keys,
        empty.affinity,
        packed,
        np.arange(len(packed)),
        reference=int(packed["time"][0]),
        items=_items(packed),
    )
    return replace(
        empty,
        history=packed,
        sums=sums,
        affinity_keys=keys,
        affinity=affinity,
        had_set=had,
        hidden_set=hidden,
        first_seen=int(packed["time"][0]),
        last_seen=last_seen,
        total=len(packed),
    )


def _lasting(kept: KeySet, turns: Sequence[Turn]) -> KeySet:
    """The keys whose newest day lies wholly within a turn: nobody else touched them since."""
    inside = np.zeros(len(kept), bool)
    for turn in turns:
        inside |= (kept.days > turn.start // DAY_US) & (kept.days < turn.end // DAY_US)
    return KeySet(kept.keys[inside], kept.days[inside])


def _items(packed: np.ndarray) -> Items:
    """Of each record the buckets that it holds itself."""
    brands = np.where(packed["brand"] > 0, packed["brand"].astype(np.int32) + BUCKETS, 0)
    both = np.stack([packed["category"].astype(np.int32), brands.astype(np.int32)], axis=1)
    return Items(np.concatenate([[0], np.cumsum((both > 0).sum(axis=1))]).astype(np.int64), both[both > 0])
