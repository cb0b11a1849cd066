"""Links: which anonymous keys belong to a person, as ``identify`` and ``unlink`` say, whose turn it was on a device, who consented."""

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
from tailorbird.events.schema import (
    CONSENT,
    DEVICE_LOGIN,
    DEVICE_TYPES,
    IDENTIFY,
    LINK_TYPES,
    SAID_TYPES,
    Event,
    user_key,
)
from tailorbird.features.consent.consents import NO_CONSENTS, Consents
from tailorbird.features.consent.handovers import ALWAYS, NO_HANDOVERS, NOBODY, Handover, Handovers, user_in
from tailorbird.features.history.records import frame_microseconds, microseconds

MOST_LINKS = 64
"""Anonymous ids that a person's profile remembers at most, parted ones included: the newest by (time, message)."""


class Link(NamedTuple):
    """The newest word on one anonymous id: when (epoch microseconds), which message's key, and joined or parted."""

    time: int
    message: int
    joined: bool
    since: int = 0
    """When the first word on it was said, where that was not the newest; of the ids that a profile remembers."""

    @property
    def first(self) -> int:
        """When the first word on it was said (epoch microseconds): logging in again changes nothing of it."""
        return self.since or self.time

    def joined_with(self, other: "Link") -> "Link":
        """The newest of both, since the first of both."""
        newest, first = max(self, other), min(self.first, other.first)
        return newest._replace(since=first if first < newest.time else 0)


@dataclass(frozen=True)
class Links:
    """Of a user's key the newest word on each anonymous id; of an anonymous key who logged in and out under it; of both the consents.

    Of words on a link only the newest counts, by (time, message): order, batches and repetition do not matter, twice is once.
    """

    newest: Mapping[str, Link] = field(default_factory=dict)
    handovers: Handovers = NO_HANDOVERS
    consents: Consents = NO_CONSENTS

    def __post_init__(self) -> None:
        object.__setattr__(self, "newest", MappingProxyType(dict(sorted(self.newest.items()))))

    def __bool__(self) -> bool:
        return bool(self.newest) or bool(self.handovers) or bool(self.consents)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Links)
            and dict(self.newest) == dict(other.newest)
            and self.handovers == other.handovers
            and self.consents == other.consents
        )

    def __hash__(self) -> int:
        return hash((tuple(self.newest.items()), self.handovers, self.consents))

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
        """Changes with every word."""
        return hashlib.blake2b(self.to_bytes(), digest_size=6).hexdigest() if self else ""

    def joined(self, other: "Links") -> "Links":
        """The newest of both on each id, and the handovers and consents of both."""
        if not other or other is self:
            return self
        newest = dict(self.newest)
        for anonymous_id, link in other.newest.items():
            known = newest.get(anonymous_id)
            newest[anonymous_id] = link if known is None else known.joined_with(link)
        if len(newest) > MOST_LINKS:
            kept = sorted(newest, key=lambda each: (newest[each], each))[-MOST_LINKS:]
            newest = {each: newest[each] for each in kept}
        return Links(newest, self.handovers.joined(other.handovers), self.consents.joined(other.consents))

    def to_bytes(self) -> bytes:
        """For the stored row."""
        if not self:
            return _NOBODY
        said: dict[str, object] = {each: list(link) for each, link in self.newest.items()}
        if self.handovers:  # of an anonymous key, which is linked to nobody
            said[_DEVICE] = self.handovers.to_json()
        if self.consents:
            said[_CONSENTS] = self.consents.to_json()
        return orjson.dumps(said)

    @classmethod
    def from_bytes(cls, stored: bytes) -> "Links":
        """Read what :meth:`to_bytes` wrote. Raises ValueError where it is damaged."""
        if stored == _NOBODY:
            return NO_LINKS
        said = orjson.loads(stored)
        device, consents = said.pop(_DEVICE, None), said.pop(_CONSENTS, None)
        handovers = NO_HANDOVERS if device is None else Handovers.from_json(device)
        return cls(
            {each: Link(*link) for each, link in said.items()},
            handovers,
            NO_CONSENTS if consents is None else Consents.from_json(consents),
        )

    @classmethod
    def of(cls, events: Sequence[Event]) -> "Links":
        """What events of one key say. A link that names no user or no anonymous id says nothing, nor a logout of a user's key."""
        links = NO_LINKS
        for event in events:
            at, message = microseconds(event.event_time), stable_key(event.message_id)
            if event.type in LINK_TYPES and event.user_id and event.anonymous_id:
                links = links.joined(cls({event.anonymous_id: Link(at, message, event.type == IDENTIFY)}))
            elif event.type in DEVICE_TYPES and not event.user_id:
                links = links.joined(_handover(at, message, event.type, event.context))
            elif event.type == CONSENT:
                links = links.joined(Links(consents=Consents.of_context(at, message, event.context)))
        return links


def _handover(time: int, message: int, kind: str, context: object) -> Links:
    user = user_in(context) if kind == DEVICE_LOGIN else NOBODY
    return Links(handovers=Handovers.of([Handover(time, message, user)]))


NO_LINKS = Links()
_NOBODY = b"{}"  # Feast reads empty bytes as missing
_DEVICE = ""  # no anonymous id is empty
_CONSENTS = "\x00"  # nor this


class LinkTimelines:
    """Who was linked to whom, and whose turn it was on which device, at any instant.

    Made of a log's frame (columns of SCHEMA and ``user_key``).
    """

    def __init__(self, events: pd.DataFrame) -> None:
        self._by_key: dict[str, list[tuple[int, int, Links]]] = {}
        said = events[events["type"].isin(SAID_TYPES)]
        if not len(said):
            return
        missing = {"user_id", "anonymous_id", "context"} - set(said.columns)
        if missing:
            raise TailorbirdError(
                f"link events without the columns {', '.join(sorted(missing))}",
                remedy="read the whole event schema",
            )
        linking, consents = said["type"].isin(LINK_TYPES), said["type"] == CONSENT
        said = said[consents | (said["anonymous_id"].notna() & (said["user_id"].notna() == linking))]
        times, messages = frame_microseconds(said["event_time"]), stable_keys(said["message_id"])
        rows = zip(
            said["user_key"],
            said["anonymous_id"],
            frame_microseconds(said["received_time"]).tolist(),
            times.tolist(),
            messages.tolist(),
            said["type"],
            said["context"],
            strict=True,
        )
        for key, anonymous_id, received, time, message, kind, context in rows:
            if kind in LINK_TYPES:
                word = Links({str(anonymous_id): Link(time, message, kind == IDENTIFY)})
            elif kind == CONSENT:
                word = Links(consents=Consents.of_context(time, message, context))
            else:
                word = _handover(time, message, kind, context)
            self._by_key.setdefault(str(key), []).append((received, time, word))

    def __bool__(self) -> bool:
        return bool(self._by_key)

    def __contains__(self, key: str) -> bool:
        return key in self._by_key

    def at(self, key: str, instant: int) -> Links:
        """What had been said under a key strictly before ``instant`` (epoch microseconds), and received by it."""
        links = NO_LINKS
        for received, time, word in self._by_key.get(key, ()):
            if time < instant and received <= instant:
                links = links.joined(word)
        return links

    def devices(self, key: str) -> tuple[str, ...]:
        """The person keys of every device that was ever linked to a user's key and not parted since, however many they are."""
        newest: dict[str, Link] = {}
        for _, _, word in self._by_key.get(key, ()):
            for anonymous_id, link in word.newest.items():
                newest[anonymous_id] = max(newest.get(anonymous_id, link), link)
        return Links(newest).keys

    def since(self, keys: Sequence[str], purpose: str) -> np.ndarray | None:
        """(n, 2) int64 from when on each key's own events may serve a purpose, by all that was ever said under it.

        First those that no basis covers, then those that one does. None where nobody consented or refused.
        """
        consents = {key: self.at(key, ALWAYS[1]).consents for key in self._by_key}
        if not any(consents.values()):
            return None
        said = [consents.get(key, NO_CONSENTS) for key in keys]
        both = [[own.since(purpose, covered=covered) for covered in (False, True)] for own in said]
        return np.array(both, np.int64).reshape(len(keys), 2)

    def everybody(self) -> np.ndarray:
        """(p,) the keys of everybody who was ever linked, and of every device that was handed over."""
        return np.array(list(self._by_key), object)
