"""Links: which anonymous keys belong to a person, as ``identify`` and ``unlink`` events say; they can be taken back."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import orjson
import pandas as pd

from tailorbird.catalog.keys import stable_key, stable_keys
from tailorbird.errors import TailorbirdError
from tailorbird.events.schema import IDENTIFY, LINK_TYPES, Event, user_key
from tailorbird.features.records import frame_microseconds, microseconds

MOST_LINKS = 64
"""Anonymous ids that a person's profile remembers at most, parted ones included: the newest by (time, message)."""


class Link(NamedTuple):
    """The newest word on one anonymous id: when (epoch microseconds), which message's key, and joined or parted."""

    time: int
    message: int
    joined: bool


@dataclass(frozen=True)
class Links:
    """The newest word on each anonymous id of one person.

    Only the newest counts, by (time, message): order, batches and repetition do not matter, twice is once.
    """

    newest: Mapping[str, Link] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "newest", MappingProxyType(dict(sorted(self.newest.items()))))

    def __bool__(self) -> bool:
        return bool(self.newest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Links) and dict(self.newest) == dict(other.newest)

    def __hash__(self) -> int:
        return hash(tuple(self.newest.items()))

    @property
    def keys(self) -> tuple[str, ...]:
        """The person keys whose profiles are joined to this one."""
        return tuple(
            user_key(user_id=None, anonymous_id=anonymous_id)
            for anonymous_id, link in self.newest.items()
            if link.joined
        )

    @property
    def digest(self) -> str:
        """Changes with every word on any id."""
        return hashlib.blake2b(self.to_bytes(), digest_size=6).hexdigest() if self else ""

    def joined(self, other: "Links") -> "Links":
        """The newest of both on each id."""
        if not other or other is self:
            return self
        newest = dict(self.newest)
        for anonymous_id, link in other.newest.items():
            if anonymous_id not in newest or link > newest[anonymous_id]:
                newest[anonymous_id] = link
        if len(newest) > MOST_LINKS:
            kept = sorted(newest, key=lambda each: (newest[each], each))[-MOST_LINKS:]
            newest = {each: newest[each] for each in kept}
        return Links(newest)

    def to_bytes(self) -> bytes:
        """For the stored row."""
        return orjson.dumps({each: list(link) for each, link in self.newest.items()}) if self else _NOBODY

    @classmethod
    def from_bytes(cls, stored: bytes) -> "Links":
        """Read what :meth:`to_bytes` wrote. Raises ValueError where it is damaged."""
        if stored == _NOBODY:
            return NO_LINKS
        return cls({each: Link(*link) for each, link in orjson.loads(stored).items()})

    @classmethod
    def of(cls, events: Sequence[Event]) -> "Links":
        """What link events of one person say. One that names no user or no anonymous id says nothing."""
        links = NO_LINKS
        for event in events:
            if event.type in LINK_TYPES and event.user_id and event.anonymous_id:
                at, message = microseconds(event.event_time), stable_key(event.message_id)
                link = Link(at, message, event.type == IDENTIFY)
                links = links.joined(cls({event.anonymous_id: link}))
        return links


NO_LINKS = Links()
_NOBODY = b"{}"  # Feast reads empty bytes as missing


class LinkTimelines:
    """Who was linked to whom at any instant, from a log's frame (columns of SCHEMA and ``user_key``)."""

    def __init__(self, events: pd.DataFrame) -> None:
        self._by_user: dict[str, list[tuple[int, str, Link]]] = {}
        said = events[events["type"].isin(LINK_TYPES)]
        if not len(said):
            return
        missing = {"user_id", "anonymous_id"} - set(said.columns)
        if missing:
            raise TailorbirdError(
                f"link events without the columns {', '.join(sorted(missing))}",
                remedy="read the whole event schema",
            )
        said = said[said["user_id"].notna() & said["anonymous_id"].notna()]
        times, messages = frame_microseconds(said["event_time"]), stable_keys(said["message_id"])
        rows = zip(
            said["user_key"],
            said["anonymous_id"],
            frame_microseconds(said["received_time"]).tolist(),
            times.tolist(),
            messages.tolist(),
            said["type"],
            strict=True,
        )
        for person, anonymous_id, received, time, message, kind in rows:
            word = received, str(anonymous_id), Link(time, message, kind == IDENTIFY)
            self._by_user.setdefault(str(person), []).append(word)

    def __bool__(self) -> bool:
        return bool(self._by_user)

    def at(self, person: str, instant: int) -> Links:
        """What had been said of a person strictly before ``instant`` (epoch microseconds), and received by it."""
        links = NO_LINKS
        for received, anonymous_id, link in self._by_user.get(person, ()):
            if link.time < instant and received <= instant:
                links = links.joined(Links({anonymous_id: link}))
        return links

    def people(self) -> np.ndarray:
        """(p,) the keys of everybody who was ever linked."""
        return np.array(list(self._by_user), object)
