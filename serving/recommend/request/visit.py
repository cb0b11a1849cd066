"""One request on its way: who asks, what for, by which arm, and the slate it gets."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from serving.http.schemas import Visitor
from tailorbird.events.schema import user_key
from tailorbird.experiments.arm import CHAMPION
from tailorbird.experiments.interleaving.pairing import Pair
from tailorbird.experiments.running.assigning import NOT_ASSIGNED, Assigned, Shadow
from tailorbird.experiments.running.plans import Draw
from tailorbird.experiments.scenario import NO_SCENARIO, Scenario
from tailorbird.slate.query import NO_WISHES, Query, Slate, Wishes
from tailorbird.slate.recommender import Recommender

NO_PROFILE = "no_profile"
"""The fallback of an answer that was made without the profile."""


NO_CONSENT = "no_consent"
"""The fallback of an answer to somebody who refuses to be known."""


_NONE: Mapping[str, Any] = MappingProxyType({})


class Who(NamedTuple):
    """Who asks, by the names that people have behind the door, and in which context."""

    user_id: str | None = None
    anonymous_id: str | None = None
    session_id: str | None = None
    context: Mapping[str, Any] = _NONE

    @classmethod
    def of(cls, visitor: Visitor) -> "Who":
        """By the names that the request has."""
        return cls(visitor.user_id, visitor.anonymous_id, visitor.session_id, visitor.context or {})


class Visit(NamedTuple):
    """Who asks, what for, and when it came; a tuple, for every request makes it anew when it takes part in experiments."""

    visitor: Who
    scenario: str
    wishes: Mapping[str, Any]
    """What the query gets besides the person and the clock."""
    key: bytes
    """Digest that names the request in the result cache; empty: not kept."""
    started: float
    recommendation_id: str
    size: int = 0
    """Bytes of the request."""
    arm: str = CHAMPION
    experiments: Mapping[str, str] = _NONE
    """Which variant it gets, by experiment."""
    pair: Pair | None = None
    """The arms that share its slate, where it is of an interleaving."""
    draws: Mapping[str, Draw] = _NONE
    """By what chance, of bandits."""
    shadows: tuple[Shadow, ...] = ()
    """What is asked the same, and not shown."""
    wish_over: Callable[[Scenario], Mapping[str, Any]] | None = None
    """What the query gets where a variant wishes more than the scenario."""

    @property
    def user_key(self) -> str:
        """The profile to answer for; a visitor without any id gets one that nobody has."""
        anonymous_id = self.visitor.anonymous_id or self.recommendation_id
        return user_key(user_id=self.visitor.user_id, anonymous_id=anonymous_id)

    def unnamed(self) -> "Visit":
        """The same visit of somebody who has no name."""
        return self._replace(visitor=Who(context=self.visitor.context), key=b"")

    def of_nobody(self) -> "Visit":
        """The same visit of somebody who has no name; no experiment counts it."""
        return self.unnamed()._replace(arm=CHAMPION, experiments=_NONE, pair=None, draws=_NONE, shadows=())

    def alone(self) -> "Visit":
        """The same visit answered by control's arm, where it would be of an interleaving, which does not count it then."""
        if self.pair is None:
            return self
        left = {key: name for key, name in self.experiments.items() if key != self.pair.key}
        return self._replace(arm=self.pair.arms[0], experiments=left, pair=None)

    def taking_part(self, assigned: Assigned) -> "Visit":
        """The same visit with the variants that it gets."""
        if assigned is NOT_ASSIGNED:
            return self
        variants, arm, wished, pair, draws, shadows = assigned
        wishes, key = self.wishes, self.key
        if wished is not NO_SCENARIO and self.wish_over is not None:
            wishes = self.wish_over(wished)
            # Other wishes are another request to the result cache, also where the champion stands in for the arm.
            key = key and key + arm.encode()
        # Place by place: by name it takes three times as long, in every request.
        return Visit(
            self.visitor,
            self.scenario,
            wishes,
            key,
            self.started,
            self.recommendation_id,
            self.size,
            arm,
            variants,
            pair,
            draws,
            shadows,
            self.wish_over,
        )

    @property
    def by_segment(self) -> bool:
        """Whether the person's segment decides about what is wished."""
        return bool(self._wished.of_segments)

    @property
    def tells_rules(self) -> bool:
        """Whether the answer depends on the written rules that hold, or names them."""
        return self.by_segment or bool(self.wishes.get("explain"))

    def segments_asked(self, keys: Collection[str]) -> frozenset[str]:
        """Those of the segments and rules ``keys`` that decide about what is wished."""
        return frozenset(key for key in keys for wish in self._wished.of_segments if key in wish.segments)

    def wishes_in(self, keys: Collection[str]) -> Mapping[str, Any]:
        """What the query gets, for somebody who is in the segments and rules ``keys``."""
        if not self.by_segment:
            return self.wishes
        return {**self.wishes, "wishes": self._wished.for_segments(keys)}

    @property
    def _wished(self) -> Wishes:
        wishes: Wishes = self.wishes.get("wishes", NO_WISHES)
        return wishes


@dataclass(frozen=True)
class Drawn:
    """A slate for one visit; ``stands_in`` where the champion made it in the place of the visit's arm."""

    visit: Visit
    query: Query
    slate: Slate
    recommender: Recommender
    """What made it."""
    stands_in: bool = False
    profile_read: bool = True
    refused: bool = False
    """The person refuses to be known: a list answers, and the visit is nobody's."""

    @property
    def fallback(self) -> str:
        """What stood in for what was wanted, the most telling first; "" for nothing."""
        if self.refused:
            return NO_CONSENT
        if not self.profile_read:
            return NO_PROFILE
        return CHAMPION if self.stands_in else self.slate.fallback
