"""The suppression list: people who were erased, whose late records are not stored. A new consent takes somebody off it."""

import threading
from collections.abc import Collection, Hashable, Mapping
from collections.abc import Set as AbstractSet
from typing import Protocol

from tailorbird.privacy.people.shared_people import require_shared_setting, shared_people
from tailorbird.privacy.people.shared_suppressed import SharedSuppressed
from tailorbird.privacy.people.suppressed_file import PRIVACY_FOLDER, SuppressedFile
from tailorbird.settings import Settings

__all__ = ["PRIVACY_FOLDER", "Suppressions"]


class Suppressed(Protocol):
    """Where the list is kept. Every call raises StreamAwayError where it cannot be had."""

    def turn(self) -> Hashable:
        """Another value whenever the list was changed, by whomever; a quick look."""

    def everybody(self) -> frozenset[str]:
        """The whole list."""

    def add(self, people: Collection[str], *, now: float) -> None:
        """Put people on it, unless they are; for good when this returns."""

    def remove(self, people: Collection[str]) -> int:
        """Take people off it; how many were on it."""

    def since(self, people: Collection[str]) -> Mapping[str, float]:
        """When those of ``people`` who are on it came onto it, epoch seconds."""

    def close(self) -> None:
        """Release what is open; closing twice is fine."""


class Suppressions:
    """The list of one workspace, by person keys; any number of processes, each of which sees a change with its next question.

    A question costs one look at whether the list is another; it is read again only where it changed.
    """

    def __init__(self, kept: Suppressed) -> None:
        self._kept = kept
        self._looking = threading.Lock()
        self._turn: Hashable = None
        self._people: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: Settings) -> "Suppressions":
        """The workspace's list, or the one that its machines share."""
        require_shared_setting(settings)
        if settings.people:
            return cls(
                SharedSuppressed(shared_people(settings, "suppressed"), SuppressedFile(settings.folder))
            )
        return cls(SuppressedFile(settings.folder))

    def refused(self, people: Collection[str]) -> AbstractSet[str]:
        """Those of ``people`` (person keys) whose records are not stored now."""
        listed = self.everybody()
        return listed.intersection(people) if listed else listed

    def everybody(self) -> frozenset[str]:
        """The whole list as it is now; the same object as long as it is the same list."""
        with self._looking:
            turn = self._kept.turn()
            if turn != self._turn:
                self._people = self._kept.everybody()
                self._turn = turn  # after it: what could not be read is read with the next question
            return self._people

    def suppress(self, people: Collection[str], *, now: float) -> None:
        """Have no record of ``people`` stored from now on (epoch seconds), in any process; durable when this returns."""
        self._kept.add(people, now=now)

    def lift(self, *people: str) -> int:
        """Store records of these people again; how many were on the list."""
        return self._kept.remove(people)

    def since(self, people: Collection[str]) -> Mapping[str, float]:
        """When those of ``people`` who are on the list came onto it, epoch seconds."""
        return self._kept.since(people)

    def close(self) -> None:
        """Release the list; closing twice is fine."""
        with self._looking:
            self._kept.close()
            self._turn = None
