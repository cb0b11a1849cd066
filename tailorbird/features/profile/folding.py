"""Folds events into live profiles, those of one person or of many in one call; a refusal among them ends what was before it."""

from collections.abc import Sequence

import numpy as np

from tailorbird.events.schema import BESIDE_TYPES, SAID_TYPES, Event
from tailorbird.features.consent.consents import PERSONALIZATION
from tailorbird.features.consent.handovers import ALWAYS
from tailorbird.features.consent.links import NO_LINKS, Links
from tailorbird.features.consent.standing import may_serve
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.history.keysets import KeySet, bounded
from tailorbird.features.history.records import Records, records_of
from tailorbird.features.profile.adding import Profiles, Rows, add_to_all, known_messages
from tailorbird.features.profile.state import Place, UserState
from tailorbird.features.profile.within import permitted
from tailorbird.features.table import HISTORY_LENGTH
from tailorbird.streams.position import Position


def fold(
    state: UserState,
    events: Sequence[Event],
    items: ItemFacts,
    *,
    places: Sequence[Place] | None = None,
    length: int = HISTORY_LENGTH,
    taken_back: int = ALWAYS[0],
) -> UserState:
    """The profile with ``events`` of its user added, each once, in whatever order they happened.

    ``places`` are their partitions and offsets, ascending within a partition: what ``applied`` holds was folded in
    before and is left out. Without them duplicates are recognised by message among the last ``length`` events.
    Returns ``state`` where nothing is new. Of what was before ``taken_back`` (epoch microseconds) no basis covers anything any more.
    """
    told = [places] if places is not None else None
    return fold_all([state], [events], items, places=told, length=length, taken_back=taken_back)[0][0]


def fold_all(
    states: Sequence[UserState],
    events: Sequence[Sequence[Event]],
    items: ItemFacts,
    *,
    places: Sequence[Sequence[Place]] | None = None,
    length: int = HISTORY_LENGTH,
    taken_back: int = ALWAYS[0],
) -> tuple[list[UserState], Records]:
    """:func:`fold` for many at once; the records that were new, too."""
    unapplied = [
        state.unapplied(own, places[n] if places is not None else None)
        for n, (state, own) in enumerate(zip(states, events, strict=True))
    ]
    heard = [_heard(state, new, applied) for state, (new, applied) in zip(states, unapplied, strict=True)]
    done = [_behaviour(state, new, taken_back) for state, (new, _) in zip(heard, unapplied, strict=True)]
    records = records_of([event for own in done for event in own], items)
    owners = np.repeat(np.arange(len(states)), [len(own) for own in done])
    if len(records):
        history = Rows.of([state.history for state in heard])
        fresh = ~known_messages(history, records.packed, owners)
        records, owners = records.take(fresh), owners[fresh]
    if len(records):
        _add(heard, records, owners, items, length)
    return heard, records


def _heard(state: UserState, events: Sequence[Event], applied: Position) -> UserState:
    """The profile with what events say of links and consents: a refusal ends what was before it."""
    said = any(event.type in SAID_TYPES for event in events)
    found = state.marked(Links.of(events) if said else NO_LINKS, applied)
    return permitted(found, found.links.consents) if said and found.links.consents else found


def _behaviour(state: UserState, events: Sequence[Event], taken_back: int) -> list[Event]:
    """Those of ``events`` that the profile counts: deeds that may serve personalization."""
    consents = state.links.consents
    return [
        event
        for event in events
        if event.type not in BESIDE_TYPES
        and may_serve(event, purpose=PERSONALIZATION, consents=consents, taken_back=taken_back)
    ]


def _add(
    states: list[UserState], records: Records, owners: np.ndarray, items: ItemFacts, length: int
) -> None:
    """Put in the place of each of ``states`` that owns one of the records, at least one, what it is with them."""
    order = np.lexsort((records.packed["message"], records.packed["time"], owners))
    ordered = records.take(order)
    places, starts, counts = np.unique(owners[order], return_index=True, return_counts=True)
    chosen = [states[place] for place in places.tolist()]
    earliest = ordered.packed["time"][starts].tolist()
    after = add_to_all(_profiles_of(chosen, earliest), ordered, starts + counts, items.buckets, length=length)
    rows = zip(places.tolist(), chosen, earliest, counts.tolist(), after.now.tolist(), strict=True)
    for n, (place, before, first, count, last) in enumerate(rows):
        states[place] = UserState(
            user_key=before.user_key,
            history=after.history.row(n),
            sums=after.sums[n],
            affinity_keys=after.affinity_keys.row(n),
            affinity=after.affinity.row(n),
            had_set=bounded(KeySet(after.had.row(n), after.had_days.row(n))),
            hidden_set=bounded(KeySet(after.hidden.row(n), after.hidden_days.row(n))),
            links=before.links,
            first_seen=min(before.first_seen, first) if before.total else first,
            last_seen=last,
            total=before.total + count,
            applied=before.applied,
        )


def _profiles_of(states: Sequence[UserState], earliest: Sequence[int]) -> Profiles:
    """What events are added to; ``earliest`` (n,) are the instants of the first, where an empty profile begins."""
    keys, had, hidden = (
        Rows.of([getattr(each, name) for each in states]) for name in ("affinity_keys", "had", "hidden")
    )
    now = [each.last_seen if each.total else first for each, first in zip(states, earliest, strict=True)]
    return Profiles(
        history=Rows.of([each.history for each in states]),
        sums=np.stack([each.sums for each in states]),
        affinity_keys=keys,
        affinity=keys.beside([each.affinity for each in states]),
        had=had,
        had_days=had.beside([each.had_set.days for each in states]),
        hidden=hidden,
        hidden_days=hidden.beside([each.hidden_set.days for each in states]),
        now=np.array(now, np.int64),
    )
