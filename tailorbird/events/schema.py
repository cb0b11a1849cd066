"""The event: what somebody did, when it happened and when we heard of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

EVENT_TYPES: tuple[str, ...] = (
    "impression",
    "view",
    "click",
    "hover",
    "scroll",
    "search",
    "add_to_cart",
    "purchase",
    "rating",
    "like",
    "hide",
    "identify",
    "unlink",
    "logout",
    "device_login",
    "segment_move",
    "consent",
)
"""The types we know; any other lower-case name is a custom type."""

IDENTIFY, UNLINK = "identify", "unlink"
LINK_TYPES = frozenset({IDENTIFY, UNLINK})
"""What joins an anonymous id to a user, and parts them again; such an event names both and belongs to the user."""
LOGOUT, DEVICE_LOGIN = "logout", "device_login"
DEVICE_TYPES = frozenset({LOGOUT, DEVICE_LOGIN})
"""What hands an anonymous id over: from a logout on it is nobody's until the next login. The platform writes ``device_login``
beside each ``identify`` (events.devices), under the anonymous id alone."""
MOVE = "segment_move"
"""What the platform itself says of a person: another segment, rules entered and left."""
CONSENT = "consent"
"""What a person allows and refuses, by purpose, in `context.purposes`: truth values (features.consents)."""
OWN_TYPES = frozenset({MOVE, DEVICE_LOGIN, CONSENT})
"""What only the platform writes: no door takes one."""
SAID_TYPES = LINK_TYPES | DEVICE_TYPES | {CONSENT}
"""What decides about which events are a profile's (features.links)."""
BESIDE_TYPES = SAID_TYPES | {MOVE}
"""Types that are about a person and no behaviour of theirs: no profile, counter or training set counts them."""

SCHEMA = pa.schema(
    [
        pa.field("message_id", pa.string(), nullable=False),
        pa.field("type", pa.string(), nullable=False),
        pa.field("user_id", pa.string()),
        pa.field("anonymous_id", pa.string()),
        pa.field("session_id", pa.string()),
        pa.field("item_id", pa.string()),
        pa.field("recommendation_id", pa.string()),
        pa.field("position", pa.int32()),
        pa.field("value", pa.float64()),
        pa.field("event_time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("received_time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("context", pa.string()),  # JSON object: device, referrer, consent, …
        pa.field("properties", pa.string()),  # JSON object
    ]
)
"""The event log's columns, in Parquet and in every table that carries events."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. Times are epoch seconds, UTC."""

    message_id: str
    type: str
    event_time: float
    received_time: float
    user_id: str | None = None
    anonymous_id: str | None = None
    session_id: str | None = None
    item_id: str | None = None
    recommendation_id: str | None = None
    position: int | None = None
    value: float | None = None
    context: Mapping[str, object] = field(default_factory=dict)
    properties: Mapping[str, object] = field(default_factory=dict)

    @property
    def user_key(self) -> str:
        """The one name of the profile this event belongs to."""
        return user_key(user_id=self.user_id, anonymous_id=self.anonymous_id)


USER, ANONYMOUS = "user:", "anon:"
"""The two kinds of person keys. A key is never a bare id: nobody can call themselves somebody else's anonymous id."""


def user_key(*, user_id: str | None, anonymous_id: str | None) -> str:
    """Name a profile: ``user:`` and the user's id where there is one, else ``anon:`` and the anonymous id."""
    return f"{USER}{user_id}" if user_id else f"{ANONYMOUS}{anonymous_id}"


def id_of(key: str) -> str:
    """The caller's own id in a person key."""
    return key[len(USER) :] if key.startswith((USER, ANONYMOUS)) else key
