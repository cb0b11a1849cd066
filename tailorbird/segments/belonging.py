"""Where a person belongs at an instant, by one version of the segment model: what answers, profiles and records say."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tailorbird.features.demographics import NOBODY, Demographics
from tailorbird.features.profile.state import UserState
from tailorbird.segments.model import Assigned, SegmentModel

MOST_MEMBERSHIPS = 5
"""Segments that a description names."""


@dataclass(frozen=True, eq=False)
class PromotedSegments:
    """The segment model that steers people, and its version in the registry."""

    version: str
    model: SegmentModel

    def belonging(self, state: UserState, demographics: Demographics = NOBODY) -> "Belonging":
        """Where a person belongs: a pure function of the live state, now or as it was at any instant."""
        return Belonging(self.model.assign(state, demographics), self)


@dataclass(frozen=True)
class Belonging:
    """How one person was ``assigned``, and by which promoted model."""

    assigned: Assigned
    by: PromotedSegments

    @property
    def key(self) -> str:
        """Names the segment for programs; "" where too little was seen."""
        return self.assigned.key

    @property
    def name(self) -> str:
        """Names the segment for people."""
        return self.by.model.name_of(self.key)

    def plain(self) -> dict[str, Any]:
        """As plain values: the segment, the incumbent, the largest memberships and the version of the model."""
        shares = sorted(self.assigned.memberships.items(), key=lambda each: -each[1])
        return {
            "key": self.key,
            "name": self.name,
            "evidence": round(self.assigned.evidence, 3),
            "incumbent": self.assigned.incumbent,
            "memberships": [
                {"key": key, "name": self.by.model.name_of(key), "share": round(share, 4)}
                for key, share in shares[:MOST_MEMBERSHIPS]
            ],
            "model_version": self.by.version,
        }


Segments = Callable[[], PromotedSegments | None]
"""Gives the segment model that is promoted now; None where none is."""


def no_segments() -> None:
    """Where no segment model is followed."""
    return
