"""The written rules of a workspace, followed live: read again when their file changes."""

from collections.abc import Callable
from pathlib import Path

from tailorbird.errors import UsageError
from tailorbird.plumbing.looked import LookedFile
from tailorbird.segments.rules.rules import NO_SEGMENT_RULES, RULES_FILE, SegmentRules, read_rules


class RulesFile:
    """Call it for the rules that hold now; a wrong file leaves those of before, and ``trouble`` says so."""

    def __init__(self, folder: Path, *, clock: Callable[[], float]) -> None:
        self._path = folder / RULES_FILE
        self._file = LookedFile(self._path, clock=clock)
        self._rules, self._trouble = NO_SEGMENT_RULES, ""

    def __call__(self) -> SegmentRules:
        """What holds; nothing without the file, and where it was wrong from the beginning."""
        self._look()
        return self._rules

    @property
    def trouble(self) -> str:
        """What is wrong with the file; "" for nothing."""
        self._look()
        return self._trouble

    def _look(self) -> None:
        """At most once a second."""
        try:
            if not self._file.changed():
                return
            self._rules, self._trouble = read_rules(self._path), ""
        except (UsageError, OSError) as error:
            self._trouble = str(error)
