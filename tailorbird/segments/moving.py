"""The move that an event made: what one and the same segment model, and the same rules, say of a profile before and after it."""

from dataclasses import dataclass

from tailorbird.events.schema import USER, Event, id_of
from tailorbird.features.demographics import Demographics
from tailorbird.features.history.records import MICROSECONDS
from tailorbird.features.profile.state import UserState
from tailorbird.segments.belonging import PromotedSegments
from tailorbird.segments.model import NOT_KNOWN, Assigned
from tailorbird.segments.move import Move
from tailorbird.segments.rules.rules import SegmentRules


@dataclass(frozen=True)
class RulesMoved:
    """The rules (keys) that an event had somebody enter and leave."""

    entered: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.entered or self.left)


NO_RULES_MOVED = RulesMoved()


def rules_moved(
    rules: SegmentRules,
    before: UserState,
    after: UserState,
    *,
    now: float,
    demographics: Demographics,
    then: str,
    key: str,
) -> RulesMoved:
    """What an event received at ``now`` (epoch seconds) changed, which took somebody from the segment ``then`` to ``key``.

    Before is when the event before it happened: what time alone made true since is entered now, where it still holds, and left
    now where this event ended it.
    """
    if not rules.rules:
        return NO_RULES_MOVED
    known = len(before.history) > 0
    last = min(now, int(before.history["time"][-1]) / MICROSECONDS) if known else now
    told = rules.matching(before, now=last, demographics=demographics, segment=then)
    by_time = rules.matching(before, now=now, demographics=demographics, segment=then)
    held = rules.matching(after, now=now, demographics=demographics, segment=key)
    return RulesMoved(tuple(sorted(held - told)), tuple(sorted((told | by_time) - held)))


def move_to(
    now: Assigned,
    *,
    then: str,
    person: str,
    by: PromotedSegments | None,
    cause: Event,
    rules: RulesMoved = NO_RULES_MOVED,
) -> Move | None:
    """The move of a ``person`` (key), whom ``cause`` took from the segment ``then``; None where they stay, in ``rules`` too."""
    if then == now.key and not rules:
        return None
    known = person.startswith(USER)
    return Move(
        user_id=id_of(person) if known else None,
        anonymous_id=None if known else id_of(person),
        model=by.version if by else "",
        from_segment=then,
        to_segment=now.key,
        segment=by.model.name_of(now.key) if by else "",
        evidence=now.evidence,
        reason=_reason(then, now, cause) if then != now.key else f"{cause.type}: rules alone",
        cause=cause.message_id,
        at=cause.received_time,
        rules_entered=rules.entered,
        rules_left=rules.left,
    )


def _reason(then: str, now: Assigned, cause: Event) -> str:
    if now.key == NOT_KNOWN:
        return f"{cause.type}: too little is known"
    if then == NOT_KNOWN:
        return f"{cause.type}: enough is known"
    if now.moved:
        return f"{cause.type}: what was done lately outweighs what is usual"
    return f"{cause.type}: it is what is usual"
