"""Hydrate: the live profile of the person who asks, read from the online store; an empty one while the store is away."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from tailorbird.features.consent.consents import ANALYTICS, PERSONALIZATION, Consents, Word
from tailorbird.features.consent.handovers import NOBODY
from tailorbird.features.profile.state import UserState
from tailorbird.streams.stream import StreamAwayError

log = logging.getLogger("ray.serve.tailorbird")
PAUSE_SECONDS = 1.0
"""After a failure the store is left alone for this long, so that its trouble does not become every request's."""


_REFUSED = Consents({PERSONALIZATION: (Word(0, 0, False),)})


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
        owner_of: Callable[[int], str | None] = lambda number: None,
    ) -> None:
        """``owner_of`` gives the person key of a user whom devices know by a number, or raises StreamAwayError."""
        self._profiles, self._clock, self._on_failure = profiles, clock, on_failure
        self._owner_of = owner_of
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
                return self._as_owners_allow(self._profiles.online_read(user_keys)), True
            except Exception as error:
                self._closed_until = self._clock() + PAUSE_SECONDS
                self._trouble = str(error)
                self._on_failure()
                log.warning("feature store is away, answering without profiles: %s", error)
        return [UserState.empty(key) for key in user_keys], False

    def _as_owners_allow(self, states: Sequence[UserState]) -> list[UserState]:
        """The profiles, that of a device with the words of who is logged in on it, where they refuse to be known; nothing else of it then."""
        owners: dict[int, str] = {}
        allowed = list(states)
        for place, state in enumerate(states):
            owner = state.links.handovers.owner
            try:
                if owner != NOBODY and (person := self._owner_of(owner)) is not None:
                    owners[place] = person
            except StreamAwayError:  # who it is cannot be told now, nor what they said
                allowed[place] = replace(state.emptied(), links=replace(state.links, consents=_REFUSED))
        people = sorted(set(owners.values()))
        whole = dict(zip(people, self._profiles.online_read(people), strict=True)) if people else {}
        for place, person in owners.items():
            device, links = states[place], whole[person].links
            if device.user_key not in links.keys or device.links.consents.refuses(PERSONALIZATION):
                continue
            own = replace(device.links, consents=links.consents)
            if links.consents.refuses(PERSONALIZATION):
                allowed[place] = replace(device.emptied(), links=own)
            elif links.consents.refuses(ANALYTICS):  # it is no unit of an experiment
                allowed[place] = replace(device, links=own)
        return allowed
