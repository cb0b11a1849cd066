"""A move: the platform's own word, in the stream of events, that a person is in another segment, or entered or left a rule."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from tailorbird.errors import TailorbirdError
from tailorbird.events.schema import MOVE, Event, user_key

SEGMENT, RULES = "segment", "rules"
"""The kinds of moves: to another segment (rules may have changed with it), or of rules alone."""


@dataclass(frozen=True, slots=True)
class Move:
    """Who went from which segment to which, and why.

    ``model`` is the version of the segment model; ``from_segment`` and ``to_segment`` are keys, "" for none; ``segment`` names the
    latter in words; ``evidence`` is the margin by which it won; ``cause`` is the message id of the event that made it so, received
    ``at`` (epoch seconds). ``rules_entered`` and ``rules_left`` are keys of rules that a person wrote.
    """

    user_id: str | None
    anonymous_id: str | None
    model: str
    from_segment: str
    to_segment: str
    segment: str
    evidence: float
    reason: str
    cause: str
    at: float
    rules_entered: tuple[str, ...] = ()
    rules_left: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """SEGMENT or RULES."""
        return SEGMENT if self.from_segment != self.to_segment else RULES

    @property
    def user_key(self) -> str:
        """The profile that moved."""
        return user_key(user_id=self.user_id, anonymous_id=self.anonymous_id)

    @property
    def message_id(self) -> str:
        """The same whoever says it, and however often."""
        return move_id(self.user_key, model=self.model, kind=self.kind, cause=self.cause)

    def to_event(self) -> Event:
        """As the stream of events holds it: it happened, and was known, when its cause was received."""
        return Event(
            message_id=self.message_id,
            type=MOVE,
            event_time=self.at,
            received_time=self.at,
            user_id=self.user_id,
            anonymous_id=self.anonymous_id,
            properties={
                "model": self.model,
                "from": self.from_segment,
                "to": self.to_segment,
                "segment": self.segment,
                "evidence": self.evidence,
                "reason": self.reason,
                "rules_entered": list(self.rules_entered),
                "rules_left": list(self.rules_left),
                "cause": self.cause,
            },
        )

    @classmethod
    def of_event(cls, event: Event) -> "Move":
        """Read what :meth:`to_event` wrote. Raises TailorbirdError where the event is no move."""
        said = event.properties
        try:
            if event.type != MOVE:
                raise ValueError(f"its type is {event.type!r}")
            return cls(
                user_id=event.user_id,
                anonymous_id=event.anonymous_id,
                model=_text(said, "model"),
                from_segment=_text(said, "from"),
                to_segment=_text(said, "to"),
                segment=_text(said, "segment"),
                evidence=float(said["evidence"]),  # type: ignore[arg-type]
                reason=_text(said, "reason"),
                cause=_text(said, "cause"),
                at=event.received_time,
                rules_entered=_texts(said, "rules_entered"),
                rules_left=_texts(said, "rules_left"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise TailorbirdError(
                f"event {event.message_id!r} is no move: {error}",
                remedy="let the platform alone write events of this type",
            ) from error


def move_id(person: str, *, model: str, kind: str, cause: str) -> str:
    """The message id of a move of one person (key), by what made it: a rebuild adds none."""
    said = orjson.dumps([person, model, kind, cause])  # as JSON no id can be mistaken for two
    return f"move-{hashlib.blake2b(said, digest_size=16).hexdigest()}"


def _text(said: Mapping[str, object], name: str) -> str:
    if not isinstance(said[name], str):
        raise TypeError(f"{name} is {said[name]!r}")
    return str(said[name])


def _texts(said: Mapping[str, object], name: str) -> tuple[str, ...]:
    names = said[name]
    if not isinstance(names, Sequence) or isinstance(names, str):
        raise TypeError(f"{name} is {names!r}")
    return tuple(map(str, names))
