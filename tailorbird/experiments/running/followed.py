"""What runs, followed live: the ledger is read again when it changes."""

from pathlib import Path

from tailorbird.experiments.running.assigning import NOTHING_RUNS, Assignment
from tailorbird.experiments.running.ledger import Ledger


class FollowedLedger:
    """Call it for the assignment to what runs now."""

    def __init__(self, folder: Path) -> None:
        self._ledger = Ledger(folder)
        self._stamp: object = None
        self._known = NOTHING_RUNS

    def __call__(self) -> Assignment:
        """The same object while nothing changes. Raises TailorbirdError where the ledger cannot be read."""
        stamp = self._ledger.stamp()
        if stamp != self._stamp:
            entries = self._ledger.entries(state="running")
            self._known = Assignment(entries) if entries else NOTHING_RUNS
            self._stamp = stamp
        return self._known
