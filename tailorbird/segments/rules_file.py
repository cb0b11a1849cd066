"""The written rules of a workspace, followed live: read again when their file changes."""

from collections.abc import Callable
from pathlib import Path

from tailorbird.errors import UsageError
from tailorbird.segments.rules import NO_SEGMENT_RULES, RULES_FILE, SegmentRules, read_rules

LOOK_SECONDS = 1.0


class RulesFile:
    """Call it for the rules that hold now; a wrong file leaves those of before, and ``trouble`` says so."""

    def __init__(self, folder: Path, *, clock: Callable[[], float]) -> None:
        self._path, self._clock = folder / RULES_FILE, clock
        self._mark: tuple[int, int, int] | None = None
        self._looked = float("-inf")
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
        now = self._clock()
        if 0 <= now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        try:
            status = self._path.stat()
            mark = (status.st_ino, status.st_mtime_ns, status.st_size)
        except OSError:
            mark = None
        if mark == self._mark:
            return
        self._mark = mark
        try:
            self._rules, self._trouble = read_rules(self._path), ""
        except UsageError as error:
            self._trouble = str(error)
