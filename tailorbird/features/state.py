"""The live profile of one user: a bounded history and decayed sums, to which events are folded in any order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tailorbird.events.schema import LINK_TYPES, Event
from tailorbird.features.adding import add_records
from tailorbird.features.facts import ItemFacts, stable_key
from tailorbird.features.keysets import NOTHING, KeySet
from tailorbird.features.links import NO_LINKS, Links
from tailorbird.features.records import MICROSECONDS, RECORD, Records, records_of
from tailorbird.features.sums import HIDE, TYPE_PRESENCE, USER_SUMS
from tailorbird.features.table import HISTORY_LENGTH
from tailorbird.streams.position import BEGINNING, Position

Place = tuple[int, int]
"""The partition and the offset of an event."""
_BYTES = np.dtype((np.void, RECORD.itemsize))


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
    ) -> "UserState":
        """Return the profile with ``events`` of this user added, each once, in whatever order they happened.

        ``places`` are their partitions and offsets, ascending within a partition: what ``applied`` holds was folded in
        before and is left out. Without them duplicates are recognised by message among the last ``length`` events.
        Returns self where nothing is new.
        """
        return fold_all(
            [self], [events], items, places=[places] if places is not None else None, length=length
        )[0][0]

    def with_records(
        self, records: Records, links: Links, applied: Position, items: ItemFacts, length: int
    ) -> "UserState":
        """Add what was never folded in, at least one record of it."""
        if len(records) > 1:
            records = records.sorted()
        packed = records.packed
        earliest, total = int(packed["time"][0]), len(packed)
        sums, keys, affinity, last_seen = add_records(
            self.sums,
            self.affinity_keys,
            self.affinity,
            packed,
            records.facts,
            reference=self.last_seen if self.total else earliest,
            indptr=items.affinity_indptr,
            buckets=items.affinity_keys,
        )
        kept = packed["kept"] == 1
        history = packed if kept.all() else packed[kept]
        if len(self.history):
            # As bytes: numpy puts the fields of two records together one by one.
            merged = np.concatenate([self.history.view(_BYTES), history.view(_BYTES)]).view(RECORD)
            late = earliest <= self.history["time"][-1]
            history = merged[np.lexsort((merged["message"], merged["time"]))] if late else merged
        had, hidden = lasting_sets(packed)
        return replace(
            self,
            history=history[-length:],
            sums=sums,
            affinity_keys=keys,
            affinity=affinity,
            had_set=self.had_set.joined(had),
            hidden_set=self.hidden_set.joined(hidden),
            links=links,
            first_seen=min(self.first_seen, earliest) if self.total else earliest,
            last_seen=last_seen,
            total=self.total + total,
            applied=applied,
        )

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
            history=np.frombuffer(row["history"], RECORD).copy(),  # type: ignore[call-overload]
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

    def fresh(self, events: Sequence[Event], places: Sequence[Place] | None) -> tuple[list[Event], Position]:
        """Of ``events``, those that :meth:`fold` would add, and the mark once they are."""
        applied, chosen = self.applied, list(events)
        if places is not None:
            chosen = []
            for event, (partition, offset) in zip(events, places, strict=True):
                if not applied.holds(partition, offset):
                    applied = applied.advanced(partition, offset)
                    chosen.append(event)
        once = list({event.message_id: event for event in reversed(chosen)}.values())[::-1]
        if len(self.history) and once:
            known = self.history["message"]
            once = [event for event in once if not (known == stable_key(event.message_id)).any()]
        return once, applied


def fold_all(
    states: Sequence[UserState],
    events: Sequence[Sequence[Event]],
    items: ItemFacts,
    *,
    places: Sequence[Sequence[Place]] | None = None,
    length: int = HISTORY_LENGTH,
) -> tuple[list[UserState], Records]:
    """:meth:`UserState.fold` for many at once, whose ``events`` are packed together; the records that were new, too."""
    fresh = [
        state.fresh(own, places[n] if places is not None else None)
        for n, (state, own) in enumerate(zip(states, events, strict=True))
    ]
    done = [[event for event in new if event.type not in LINK_TYPES] for new, _ in fresh]
    records = records_of([event for own in done for event in own], items)
    folded, start = [], 0
    for state, own, (new, applied) in zip(states, done, fresh, strict=True):
        links = state.links.joined(Links.of(new)) if len(new) > len(own) else state.links
        if own:
            taken = records.take(slice(start, start + len(own)))
            folded.append(state.with_records(taken, links, applied, items, length))
            start += len(own)
        elif links is state.links and applied is state.applied:
            folded.append(state)
        else:
            folded.append(replace(state, links=links, applied=applied))
    return folded, records


def lasting_sets(packed: np.ndarray) -> tuple[KeySet, KeySet]:
    """The items that RECORDs ``packed`` (n,) say were met, and those they say were hidden."""
    if len(packed) == 1:  # nearly every call: one event of one person
        record = packed[0]
        code, item = record["type"], record["item"]
        if not item:
            return NOTHING, NOTHING
        one = KeySet.of(packed["item"].copy(), packed["time"])
        return one if TYPE_PRESENCE[code] > 0 else NOTHING, one if code == HIDE else NOTHING
    named = packed["item"] != 0
    met, hides = named & (TYPE_PRESENCE[packed["type"]] > 0), named & (packed["type"] == HIDE)
    keys, times = packed["item"], packed["time"]
    return KeySet.of(keys[met], times[met]), KeySet.of(keys[hides], times[hides])
