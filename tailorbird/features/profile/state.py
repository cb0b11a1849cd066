"""The live profile of one user: a bounded history and decayed sums, to which events are folded in any order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tailorbird.events.schema import BESIDE_TYPES, SAID_TYPES, Event
from tailorbird.features.consent.consents import PERSONALIZATION
from tailorbird.features.consent.handovers import ALWAYS
from tailorbird.features.consent.links import NO_LINKS, Links
from tailorbird.features.consent.standing import may_serve
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.history.keysets import NOTHING, KeySet, bounded
from tailorbird.features.history.records import MICROSECONDS, RECORD, Records, records_of
from tailorbird.features.history.sums import USER_SUMS
from tailorbird.features.profile.adding import Profiles, Rows, add_to_all, known_messages
from tailorbird.features.profile.within import permitted
from tailorbird.features.table import HISTORY_LENGTH
from tailorbird.streams.position import BEGINNING, Position

Place = tuple[int, int]
"""The partition and the offset of an event."""


@dataclass(frozen=True, eq=False)
class UserState:
    """Everything the platform knows of what one user did.

    ``history`` (n,) RECORD, oldest first; ``sums`` (USER_SUMS,) and ``affinity`` (m,) are decayed sums at ``last_seen``;
    ``affinity_keys`` (m,) int32 buckets, ascending; ``had_set`` and ``hidden_set`` outlast the history: the items met
    (viewed, rated, bought …) and those the user has hidden, which nothing brings back. ``links`` name the anonymous keys
    that were joined to this one; every event of the stream up to ``applied`` is in the profile. Times are epoch
    microseconds, 0 where there is no event.
    """

    user_key: str
    history: np.ndarray
    sums: np.ndarray
    affinity_keys: np.ndarray
    affinity: np.ndarray
    had_set: KeySet
    hidden_set: KeySet
    links: Links
    first_seen: int
    last_seen: int
    total: int
    applied: Position

    @classmethod
    def empty(cls, user_key: str) -> "UserState":
        """The profile of somebody who has done nothing yet."""
        return cls(
            user_key=user_key,
            history=np.zeros(0, RECORD),
            sums=np.zeros(USER_SUMS),
            affinity_keys=np.zeros(0, np.int32),
            affinity=np.zeros(0),
            had_set=NOTHING,
            hidden_set=NOTHING,
            links=NO_LINKS,
            first_seen=0,
            last_seen=0,
            total=0,
            applied=BEGINNING,
        )

    def emptied(self) -> "UserState":
        """Nothing of what was done; what was said of links and consents, and how far the stream was followed, stays."""
        return replace(UserState.empty(self.user_key), links=self.links, applied=self.applied)

    @property
    def version(self) -> str:
        """Changes with every event folded in: the key of cached answers."""
        return f"{self.total}-{self.first_seen:x}-{self.last_seen:x}{self.links.digest}"

    @property
    def had(self) -> np.ndarray:
        """(m,) int64 keys of the items the user already had, ascending."""
        return self.had_set.keys

    @property
    def hidden(self) -> np.ndarray:
        """(m,) int64 keys of the items the user has hidden, ascending."""
        return self.hidden_set.keys

    @property
    def times(self) -> np.ndarray:
        """(n,) float64 epoch seconds of the history."""
        seconds: np.ndarray = self.history["time"] / MICROSECONDS
        return seconds

    def fold(
        self,
        events: Sequence[Event],
        items: ItemFacts,
        *,
        places: Sequence[Place] | None = None,
        length: int = HISTORY_LENGTH,
        taken_back: int = ALWAYS[0],
    ) -> "UserState":
        """Return the profile with ``events`` of this user added, each once, in whatever order they happened.

        ``places`` are their partitions and offsets, ascending within a partition: what ``applied`` holds was folded in
        before and is left out. Without them duplicates are recognised by message among the last ``length`` events.
        Returns self where nothing is new. Of what was before ``taken_back`` (epoch microseconds) no basis covers anything any more.
        """
        given = [places] if places is not None else None
        return fold_all([self], [events], items, places=given, length=length, taken_back=taken_back)[0][0]

    def marked(self, links: Links, applied: Position) -> "UserState":
        """What ``links`` say joined, and ``applied`` noted; self where neither is new."""
        joined = self.links.joined(links)
        if joined is self.links and applied is self.applied:
            return self
        return replace(self, links=joined, applied=applied)

    def to_row(self) -> dict[str, object]:
        """The stored features (table.STORED_USER)."""
        return {
            "history": self.history.tobytes(),
            "sums": self.sums,
            "affinity_keys": self.affinity_keys,
            "affinity": self.affinity,
            "had": self.had_set.to_bytes(),
            "hidden": self.hidden_set.to_bytes(),
            "links": self.links.to_bytes(),
            "first_seen": self.first_seen,
            "last_seen": self.last_seen,
            "total": self.total,
            "applied": self.applied.to_text(),
        }

    @classmethod
    def from_row(cls, user_key: str, row: Mapping[str, object]) -> "UserState":
        """Read the stored features back; a missing row (``total`` None or NaN) is the empty profile."""
        total = row.get("total")
        if total is None or total != total:
            return cls.empty(user_key)
        return cls(
            user_key=user_key,
            # A copy is writable as a folded history is: compiled code then knows one kind of history, not two.
            history=np.frombuffer(bytearray(row["history"]), RECORD),  # type: ignore[call-overload]
            sums=np.array(row["sums"], np.float64),
            affinity_keys=np.array(row["affinity_keys"], np.int32),
            affinity=np.array(row["affinity"], np.float64),
            had_set=KeySet.from_bytes(row["had"]),  # type: ignore[arg-type]
            hidden_set=KeySet.from_bytes(row["hidden"]),  # type: ignore[arg-type]
            links=Links.from_bytes(row["links"]),  # type: ignore[arg-type]
            first_seen=int(row["first_seen"]),  # type: ignore[call-overload]
            last_seen=int(row["last_seen"]),  # type: ignore[call-overload]
            total=int(total),  # type: ignore[call-overload]
            applied=Position.from_text(str(row["applied"])),
        )

    def unapplied(
        self, events: Sequence[Event], places: Sequence[Place] | None
    ) -> tuple[list[Event], Position]:
        """Of ``events``, those past ``applied``, each message once, and the mark once they are folded in."""
        applied, chosen = self.applied, list(events)
        if places is not None:
            chosen = []
            for event, (partition, offset) in zip(events, places, strict=True):
                if not applied.holds(partition, offset):
                    applied = applied.advanced(partition, offset)
                    chosen.append(event)
        if len(chosen) > 1:
            chosen = list({event.message_id: event for event in reversed(chosen)}.values())[::-1]
        return chosen, applied


def fold_all(
    states: Sequence[UserState],
    events: Sequence[Sequence[Event]],
    items: ItemFacts,
    *,
    places: Sequence[Sequence[Place]] | None = None,
    length: int = HISTORY_LENGTH,
    taken_back: int = ALWAYS[0],
) -> tuple[list[UserState], Records]:
    """:meth:`UserState.fold` for many at once; the records that were new, too."""
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
