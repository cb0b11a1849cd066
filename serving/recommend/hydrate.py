"""Hydrate: the live profile of the person who asks, read from the online store; an empty one while the store is away."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from tailorbird.features.state import UserState

log = logging.getLogger("ray.serve.tailorbird")
PAUSE_SECONDS = 1.0
"""After a failure the store is left alone for this long, so that its trouble does not become every request's."""


class Profiles(Protocol):
    """Where live profiles are read."""

    def online_read(self, user_keys: Sequence[str]) -> list[UserState]:
        """The profiles of ``user_keys``, in that order; an unknown user has an empty one."""


class Hydrator:
    """Reads the profiles of the requests that are answered together."""

    def __init__(
        self,
        profiles: Profiles,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_failure: Callable[[], object] = lambda: None,
    ) -> None:
        self._profiles, self._clock, self._on_failure = profiles, clock, on_failure
        self._closed_until = 0.0
        self._trouble = ""

    @property
    def away(self) -> bool:
        """Whether the store failed a moment ago."""
        return self._clock() < self._closed_until

    @property
    def trouble(self) -> str:
        """Why the store failed the last time."""
        return self._trouble

    def fetch_profiles(self, user_keys: Sequence[str]) -> tuple[list[UserState], bool]:
        """The profiles, and whether they could be read."""
        if not self.away:
            try:
                return self._profiles.online_read(user_keys), True
            except Exception as error:
                self._closed_until = self._clock() + PAUSE_SECONDS
                self._trouble = str(error)
                self._on_failure()
                log.warning("feature store is away, answering without profiles: %s", error)
        return [UserState.empty(key) for key in user_keys], False
