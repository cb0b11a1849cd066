"""The move that an event made: what one and the same segment model says of a profile before and after it."""

from tailorbird.events.schema import USER, Event, id_of
from tailorbird.segments.belonging import PromotedSegments
from tailorbird.segments.model import NOT_KNOWN, Assigned
from tailorbird.segments.move import Move


def move_to(now: Assigned, *, then: str, person: str, by: PromotedSegments, cause: Event) -> Move | None:
    """The move of a ``person`` (key), whom ``cause`` took from the segment ``then``; None where they stay."""
    if then == now.key:
        return None
    known = person.startswith(USER)
    return Move(
        user_id=id_of(person) if known else None,
        anonymous_id=None if known else id_of(person),
        model=by.version,
        from_segment=then,
        to_segment=now.key,
        segment=by.model.name_of(now.key),
        evidence=now.evidence,
        reason=_reason(then, now, cause),
        cause=cause.message_id,
        at=cause.received_time,
    )


def _reason(then: str, now: Assigned, cause: Event) -> str:
    if now.key == NOT_KNOWN:
        return f"{cause.type}: too little is known"
    if then == NOT_KNOWN:
        return f"{cause.type}: enough is known"
    if now.moved:
        return f"{cause.type}: what was done lately outweighs what is usual"
    return f"{cause.type}: it is what is usual"
