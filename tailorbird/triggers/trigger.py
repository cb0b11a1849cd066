"""Targets, and the triggers that have them called: which move concerns whom."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tailorbird.segments.move import SEGMENT, Move

ANY = "*"
"""Stands for every segment."""


@dataclass(frozen=True)
class Target:
    """Who is called: ``per_second`` deliveries at most, each tried ``attempts`` times; the secret stands in the environment."""

    name: str
    url: str
    secret_env: str
    per_second: float = 5.0
    attempts: int = 8
    timeout_seconds: float = 10.0


@dataclass(frozen=True)
class Trigger:
    """A move ``to`` one of some segments, out of one of some that are ``left`` (both: from these to those), or of a rule."""

    target: str
    to: frozenset[str] | None = None
    left: frozenset[str] | None = None
    rule: str | None = None
    on: Literal["enter", "leave"] = "enter"

    def fits(self, move: Move) -> bool:
        """Whether a move calls the target."""
        if self.rule is not None:
            return self.rule in (move.rules_entered if self.on == "enter" else move.rules_left)
        return (
            move.kind == SEGMENT and _among(move.to_segment, self.to) and _among(move.from_segment, self.left)
        )

    @property
    def words(self) -> str:
        """What calls the target, as a person reads it."""
        if self.rule is not None:
            return f"{self.on}s rule {self.rule}"
        parts = [f"leaves {_listed(self.left)}"] if self.left is not None else []
        return ", ".join([*parts, f"enters {_listed(self.to)}"] if self.to is not None else parts)


@dataclass(frozen=True)
class Declared:
    """The targets by name, and what has them called."""

    targets: Mapping[str, Target]
    triggers: tuple[Trigger, ...]

    def called_by(self, move: Move) -> list[str]:
        """The names of the targets that a move calls, each once, however many triggers say so."""
        return list(dict.fromkeys(each.target for each in self.triggers if each.fits(move)))


def _among(segment: str, wanted: frozenset[str] | None) -> bool:
    return wanted is None or segment in wanted or (ANY in wanted and segment != "")


def _listed(segments: frozenset[str]) -> str:
    return "any segment" if ANY in segments else " or ".join(sorted(segments))
