"""What runs, followed live: the ledger is read again when it changes."""

from pathlib import Path

from tailorbird.experiments.running.assigning import NOTHING_RUNS, Assignment
from tailorbird.experiments.running.entries import Entry, Unread
from tailorbird.experiments.running.ledger import Ledger


class FollowedLedger:
    """Call it for the assignment to what runs now."""

    def __init__(self, folder: Path) -> None:
        self._ledger = Ledger(folder)
        self._stamp: object = None
        self._known = NOTHING_RUNS
        self.trouble = ""
        """What runs and cannot be read any more: it answers nobody, all others go on; none does beside a holdout of unknown people."""

    def __call__(self) -> Assignment:
        """The same object while nothing changes. Raises TailorbirdError where the ledger cannot be read."""
        stamp = self._ledger.stamp()
        if stamp != self._stamp:
            running = self._ledger.all(state="running")
            unread = [each for each in running if isinstance(each, Unread)]
            holds = [each.key for each in unread if each.is_holdout]
            entries = [each for each in running if isinstance(each, Entry) and not holds]
            self._known = Assignment(entries) if entries else NOTHING_RUNS
            pausing = [f"whom holdout {key!r} holds is not known: no experiment takes part" for key in holds]
            self.trouble = "; ".join([*map(str, unread), *pausing])
            self._stamp = stamp
        return self._known
