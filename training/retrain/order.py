"""What somebody orders of retraining, and what its steps share and answer."""

import datetime as dt
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from registry.versions.versions import Registered, Registry
from tailorbird.settings import Settings
from training.retrain.ledger import Round

CHAMPION, CHALLENGER = "champion", "challenger"
ROUND = "round"
"""The tag of a version that names the round in which it was made."""
PROMOTED, UNCHANGED, REFUSED, OVERTAKEN = "promoted", "unchanged", "refused", "overtaken"
ROLLED_BACK, OBJECTED, UNSEEN, DECIDED = "rolled back", "the readout objects", "unseen", "decided by hand"
"""How rounds end, beside these: nothing new to learn, the gates refuse, somebody else moved the champion meanwhile."""
JOB = "job:retrain"
"""Who, in the ledger of experiments and the audit log."""


@dataclass(frozen=True)
class CanaryRules:
    """How long a canary runs, for how long in all units are waited for, with which share of everybody, and the fewest units a variant."""

    hours: float = 24.0
    most_hours: float = 72.0
    share: float = 0.1
    units: int = 100


@dataclass(frozen=True)
class Order:
    """What is wanted. ``recipe`` is for a workspace without a champion, whose recipe it is else; without ``canary`` the gates decide.

    ``full`` trains from nothing; so does every version once ``warm`` went on from each other.
    """

    recipe: str = "default"
    segments: str = CHAMPION
    seed: int = 0
    full: bool = False
    warm: int = 6
    canary: CanaryRules | None = CanaryRules()
    wait: bool = True


@dataclass(frozen=True)
class Work:
    """What a step works with."""

    settings: Settings
    order: Order
    registry: Registry
    round: Round
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], object] = time.sleep

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the steps before found."""
        return self.round.facts

    @property
    def version(self) -> Registered:
        """The version of this round."""
        return self.registry.version(self.facts["version"])

    @property
    def before(self) -> int | None:
        """The champion that the new version was compared with; None where there was none."""
        found: int | None = self.facts.get("champion")
        return found

    def now(self) -> dt.datetime:
        """The present."""
        return dt.datetime.fromtimestamp(self.clock(), dt.UTC)


@dataclass(frozen=True)
class Done:
    """What a step found: in words, and for the steps after it; ``outcome`` where it ends the round."""

    words: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    outcome: str = ""
