"""A delivery: one move told to one target, the same bytes under the same id however often it is tried; and its signature."""

import datetime as dt
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from tailorbird.segments.move import Move

SIGNATURE_HEADER, ID_HEADER = "tailorbird-signature", "tailorbird-delivery"


@dataclass(frozen=True)
class Delivery:
    """``body`` is what the target is sent; ``attempts`` failed so far, the last one for ``reason``; ``created`` epoch seconds."""

    id: str
    target: str
    person: str
    body: bytes
    created: float
    attempts: int = 0
    reason: str = ""

    @classmethod
    def of(cls, move: Move, *, target: str, now: float) -> "Delivery":
        """What a target is told of a move: who, which segments, when. Nothing else that is known of the person leaves."""
        identity = delivery_id(move.message_id, target)
        return cls(identity, target, move.user_key, body_of(move, identity), now)


def delivery_id(message_id: str, target: str) -> str:
    """The same for every try, replay and rebuild: receivers drop what they have seen."""
    said = orjson.dumps([message_id, target])
    return f"delivery-{hashlib.blake2b(said, digest_size=16).hexdigest()}"


def body_of(move: Move, identity: str) -> bytes:
    """The JSON of a move. Whoever has a user id is called by that alone."""
    person = {"userId": move.user_id} if move.user_id else {"anonymousId": move.anonymous_id}
    return orjson.dumps(
        {
            "id": identity,
            "type": "segment_move",
            **person,
            "from": move.from_segment,
            "to": move.to_segment,
            "segment": move.segment,
            "rulesEntered": move.rules_entered,
            "rulesLeft": move.rules_left,
            "model": move.model,
            "at": dt.datetime.fromtimestamp(move.at, dt.UTC).isoformat(),
        }
    )


def told_to(delivery: Delivery, callers_ids: Mapping[str, str]) -> bytes:
    """The body as it is sent: under the caller's own id of the person, where ``callers_ids`` (by person key) has one."""
    if delivery.person not in callers_ids:
        return delivery.body
    said = orjson.loads(delivery.body)
    return orjson.dumps(
        {
            name: callers_ids[delivery.person] if name in ("userId", "anonymousId") else value
            for name, value in said.items()
        }
    )


def signature(body: bytes, *, secret: str, at: float) -> str:
    """The header that proves who sent ``body`` and when (epoch seconds): HMAC-SHA256 over the instant, a dot and the body."""
    instant = str(int(at))
    proof = hmac.new(secret.encode(), instant.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={instant},v1={proof}"
