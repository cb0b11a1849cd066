"""The live profile of one user: a bounded history and decayed sums, to which events are folded in any order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tailorbird.events.schema import Event
from tailorbird.features.consent.links import NO_LINKS, Links
from tailorbird.features.history.keysets import NOTHING, KeySet
from tailorbird.features.history.records import MICROSECONDS, RECORD
from tailorbird.features.history.sums import USER_SUMS
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
