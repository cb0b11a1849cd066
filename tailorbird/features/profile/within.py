"""What of a profile lies within stretches of time: a person's turns on a device, and what may serve a purpose."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tailorbird.features.consent.consents import PERSONALIZATION, Consents
from tailorbird.features.consent.handovers import ALWAYS, Turn
from tailorbird.features.history.facts import BUCKETS, Items
from tailorbird.features.history.keysets import DAY_US, KeySet, lasting_sets
from tailorbird.features.profile.adding import add_records
from tailorbird.features.profile.state import UserState


def permitted(state: UserState, consents: Consents) -> UserState:
    """What of a profile ``consents`` let serve personalization: all of it where nothing was ever refused."""
    since = consents.since(PERSONALIZATION) if consents else ALWAYS[0]
    if since == ALWAYS[0]:
        return state
    if since == ALWAYS[1] or not state.total or state.last_seen < since:
        return state.emptied()
    return within(state, [Turn(since, ALWAYS[1])])


def usable(state: UserState, consents: Consents) -> UserState:
    """What of a profile may be used now: what is permitted, and nothing while a restriction holds."""
    return state.emptied() if consents.restricted else permitted(state, consents)


def within(state: UserState, turns: Sequence[Turn]) -> UserState:
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
    empty = state.emptied()
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
