"""Folds stored events into the live profiles; when the feature store is away, catches up from the log later."""

import logging
import threading
from collections.abc import Sequence
from typing import Protocol

from serving.lasting import LastingThread
from tailorbird.events.schema import Event
from tailorbird.streams.position import BEGINNING, Position
from tailorbird.streams.stream import Entry, Stream, StreamAwayError

log = logging.getLogger("ray.serve.tailorbird")


class Progress(Protocol):
    """How an update went."""

    @property
    def behind(self) -> bool:
        """Whether too much was missing before the given events: they follow with the catch-up."""


class Updater(Protocol):
    """Keeps profiles current, in small steps that any number of threads may take; applying an event twice changes nothing."""

    def apply(self, events: Sequence[Entry[Event]]) -> Progress:
        """Fold events, given with their places, into the online profiles."""

    def catch_up(self, event_log: Stream[Event]) -> object:
        """Fold everything the log holds and the profiles do not, and rebuild rows that cannot be read."""

    def has_damage(self) -> bool:
        """Whether rows are known that cannot be read."""

    def applied(self) -> Position:
        """How far the profiles follow the log."""


class ProfileFolder:
    """Brings events into the profiles before their 202, or soon after when the store was away."""

    def __init__(self, updater: Updater, event_log: Stream[Event], *, retry_seconds: float = 2.0) -> None:
        self._updater, self._log, self._retry_seconds = updater, event_log, retry_seconds
        self._behind, self._stop = threading.Event(), threading.Event()
        self._trouble = ""
        self._behind.set()  # events may have been stored while nobody folded
        self._applied = BEGINNING
        self.thread = LastingThread(self._catch_up, name="profile-catch-up")

    @property
    def behind(self) -> bool:
        """Whether the profiles lack events that the log holds."""
        return self._behind.is_set() or bool(self._trouble)  # while it is being tried again, too

    @property
    def trouble(self) -> str:
        """Why the profiles could not be brought up to date the last time; empty where they could."""
        return self._trouble

    def fold(self, stored: Sequence[Entry[Event]]) -> bool:
        """Fold events at once; False when the store is away or a long way behind, and they follow later."""
        try:
            behind = self._updater.apply(stored).behind
        except Exception as error:
            log.warning("profiles lag behind the event log: %s", error)
            self._trouble = str(error)
            behind = True
        if behind:
            self._behind.set()
        return not behind

    def close(self) -> None:
        """Stop catching up."""
        self._stop.set()
        self.thread.join(timeout=10)

    def _catch_up(self) -> None:
        while not self._stop.is_set():
            try:
                if self._behind.is_set() or self._updater.has_damage() or self._left_behind():
                    self._behind.clear()
                    self._updater.catch_up(self._log)
                    self._trouble = ""
            except Exception as error:
                log.warning("profiles cannot catch up yet: %s", error)
                self._trouble = str(error)
                self._behind.set()
            self._stop.wait(self._retry_seconds)

    def _left_behind(self) -> bool:
        """Whether events wait that nobody folds: another machine stored them, or their replica died before it could."""
        before, self._applied = self._applied, self._updater.applied()
        try:
            return self._applied == before and self._log.lag(before) > 0
        except StreamAwayError:
            return False
