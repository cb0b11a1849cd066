"""Records of each stream, told apart by a number: what the laws are run on."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tailorbird.events.rows import EVENTS
from tailorbird.exposures.exposure import Exposure
from tailorbird.exposures.rows import EXPOSURES
from tailorbird.streams.codec import Codec
from tests.exposures import toy
from tests.streams.embedded import event


def exposure(number: int) -> Exposure:
    """An answer to one of three people."""
    return replace(
        toy.exposure(number), recommendation_id=f"r{number}", user_id=f"user-{number % 3}", anonymous_id=None
    )


@dataclass(frozen=True)
class Kind:
    """One stream's records; ``bad`` are refused, ``full`` have every property."""

    codec: Codec[Any]
    record: Callable[[int], Any]
    full: tuple[Any, ...]
    bad: tuple[Any, ...]

    def key(self, number: int) -> str:
        return str(self.codec.to_row(self.record(number))[self.codec.key_at])


EVENT_KIND = Kind(
    EVENTS,
    event,
    full=(
        event(
            900,
            anonymous_id="anon",
            session_id="s",
            recommendation_id="r",
            position=3,
            value=9.75,
            context={"device": "mobile", "consent": {"analytics": True}},
            properties={"query": "tent ⛺", "n": [1, 2]},
        ),
        event(901, user_id=None, anonymous_id="a", item_id=None),
    ),
    bad=(
        event(2, message_id=""),
        event(2, user_id=None),
        event(2, event_time=float("nan")),
        event(2, context={"bytes": b"\xff"}),
        event(2, position=2**70),
        event(2, message_id="\ud800"),
        event(2, item_id="\ud800"),
    ),
)
EXPOSURE_KIND = Kind(
    EXPOSURES,
    exposure,
    full=(toy.exposure(900, sampled=True), toy.exposure(901, user_id=None)),
    bad=(
        replace(exposure(2), context={"bytes": b"\xff"}),
        replace(exposure(2), recommendation_id="\ud800"),
        replace(exposure(2), user_id="\ud800"),
    ),
)
KINDS = {"events": EVENT_KIND, "exposures": EXPOSURE_KIND}
