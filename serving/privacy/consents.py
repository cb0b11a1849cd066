"""Consents of one workspace: a word is an event, durable and in the live profile before the answer; the history is read from the stream."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from feature_repo.updater.updater import ProfileUpdater
from serving.privacy.places import has_online, places_of
from tailorbird.errors import TailorbirdError
from tailorbird.events.schema import Event
from tailorbird.features.consent.consents import PERSONALIZATION, RESTRICTION, SAID
from tailorbird.privacy.door.door import Door
from tailorbird.privacy.erasure.ledger import Ledger
from tailorbird.privacy.erasure.places import Row
from tailorbird.privacy.export.export import consents_of
from tailorbird.privacy.people.person import keys_of
from tailorbird.privacy.people.suppression import Suppressions
from tailorbird.privacy.policy.words import ErasedError, Said
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events
from tailorbird.streams.stream import Entry

log = logging.getLogger("ray.serve.tailorbird")
MOST_RECEIPTS = 10_000


@dataclass(frozen=True)
class Told:
    """What holds of a person: the newest word by purpose, and every word that was said, the oldest first."""

    purposes: Mapping[str, bool]
    history: tuple[Row, ...]
    delayed: bool = False
    """Stored; the live profile follows when the feature store is back."""
    restricted: bool = False
    """What is known of the person is kept and used for nothing."""


class ConsentKeeper:
    """Keeps the words of one workspace's people. Any thread may ask."""

    def __init__(self, settings: Settings, *, door: Door, clock: Callable[[], float] = time.time) -> None:
        self._settings, self._door, self._clock = settings, door, clock
        self._suppressions = Suppressions.of(settings)

    def say(self, identifier: str, said: Said, *, anonymous: bool = False) -> Told:
        """Store what a person (a caller's id) allows and refuses now.

        A consent to personalization takes an erased person off the suppression list.

        Raises:
            UsageError: a purpose that nobody declared, or none at all.
            ErasedError: the person was erased, and does not consent anew.
            TailorbirdError: it could not be stored.
        """
        person = self._door.person(identifier, anonymous=anonymous)
        event = said.event(
            identifier,
            anonymous=anonymous,
            known=self._door.policy.purposes,
            now=self._clock(),
            newest=self._newest(person),
        )
        if said.purposes.get(PERSONALIZATION):
            self._let_back(person)
        with open_events(self._settings) as events:
            appended = events.append(self._door.events([event]))
        if appended.refused:
            raise ErasedError(
                "this person was erased: nothing of them is stored",
                remedy="a consent to personalization takes them off the suppression list",
            )
        return self.told(person, delayed=not self._folded(appended.entries))

    def told(self, person: str, *, delayed: bool = False) -> Told:
        """What holds of a person (key), for an auditor.

        Raises:
            StreamAwayError: the events cannot be read.
        """
        with open_events(self._settings) as events:
            people = keys_of(events, [person])[person]
        place = places_of(self._settings, door=self._door)[0]
        history = tuple(sorted(consents_of(place, people), key=lambda row: str(row["at"])))
        newest = {name: given for row in history for name, given in row[SAID].items()}
        restricted = newest.pop(RESTRICTION, False)
        return Told(newest, history, delayed, restricted=restricted)

    def _newest(self, person: str) -> int:
        """When the newest thing was done or said under this very key, epoch microseconds; 0 where there is none."""
        where = [("user_key", "=", person)]
        with open_events(self._settings) as events:
            times = [
                batch["event_time"].cast(pa.int64()).to_numpy().max(initial=0)
                for batch in events.scan(columns=["user_key", "type", "event_time"], where=where)
            ]
        return int(max(times, default=0))

    def _let_back(self, person: str) -> None:
        if not self._suppressions.refused([person]):
            return
        with closing(Ledger(self._settings.folder)) as ledger:
            waiting = ledger.unfinished(limit=MOST_RECEIPTS)
        if any(person == each.person or person in each.people for each in waiting):
            raise ErasedError(
                "this person is being erased", remedy="send the consent again once the receipt is done"
            )
        self._suppressions.lift(person)

    def _folded(self, entries: Sequence[Entry[Event]]) -> bool:
        """Bring a word into the live profile, which the next answer reads; where that must wait, it follows with the others."""
        if not has_online(self._settings):
            return False
        try:
            return not self._updater.apply(entries).behind
        except TailorbirdError as error:
            log.warning("a consent is stored and not in the live profile yet: %s", error)
            return False

    @cached_property
    def _updater(self) -> ProfileUpdater:
        return ProfileUpdater(self._settings)
