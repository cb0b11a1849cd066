"""What one gate found: a line of the table, and of the decision that rests on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One gate's result. ``verdict`` is a word of its own only where quality is judged; ``remedy`` says what would help.

    ``final`` marks what ``--force`` does not override: a damaged bundle serves nobody.
    """

    gate: str
    passed: bool
    found: str
    verdict: str = ""
    remedy: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    final: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The finding as plain values, for JSON and for the record."""
        return {
            "gate": self.gate,
            "passed": self.passed,
            "verdict": self.verdict,
            "found": self.found,
            "remedy": self.remedy,
            "figures": dict(self.figures),
        }
