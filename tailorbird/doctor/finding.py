"""What a check finds: a section, what its setting points at, its state in words, and the remedy."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tailorbird.settings import Settings

State = Literal["ok", "warning", "broken"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    ``warning`` works and deserves a look; ``broken`` fails whoever needs it. ``facts`` are figures and versions. Neither
    ``points_at`` nor ``says`` may hold a password (plumbing/addresses.py takes it out of an address).
    """

    section: str
    points_at: str
    state: State
    says: str
    remedy: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return {
            "section": self.section,
            "points_at": self.points_at,
            "state": self.state,
            "says": self.says,
            "remedy": self.remedy,
            "facts": dict(self.facts),
        }


Check = Callable[[Settings], Sequence[Finding]]
"""Looks and changes nothing. What it raises becomes a broken finding of its section; it may take its time: it is not waited for."""
