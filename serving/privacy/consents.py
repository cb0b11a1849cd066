"""Consents of one workspace: a word is an event, durable and in the live profile before the answer; the history is read from the stream."""

import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from feature_repo.updater import ProfileUpdater
from serving.privacy.places import has_online, places_of
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.events.schema import CONSENT, Event
from tailorbird.features.consents import PERSONALIZATION, SAID
from tailorbird.features.records import MICROSECONDS
from tailorbird.privacy.door import Door
from tailorbird.privacy.export import consents_of
from tailorbird.privacy.ledger import Ledger
from tailorbird.privacy.person import keys_of
from tailorbird.privacy.places import Row
from tailorbird.privacy.suppression import Suppressions
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events
from tailorbird.streams.stream import Entry

log = logging.getLogger("ray.serve.tailorbird")
TICK_SECONDS = 1e-6
MOST_RECEIPTS = 10_000


class ErasedError(TailorbirdError):
    """Nothing of the person is stored, so neither is this word."""


@dataclass(frozen=True)
class Told:
    """What holds of a person: the newest word by purpose, and every word that was said, the oldest first."""

    purposes: Mapping[str, bool]
    history: tuple[Row, ...]
    delayed: bool = False
    """Stored; the live profile follows when the feature store is back."""


class ConsentKeeper:
    """Keeps the words of one workspace's people. Any thread may ask."""

    def __init__(self, settings: Settings, *, door: Door, clock: Callable[[], float] = time.time) -> None:
        self._settings, self._door, self._clock = settings, door, clock
        self._suppressions = Suppressions(settings.folder)

    def say(
        self,
        identifier: str,
        purposes: Mapping[str, bool],
        *,
        anonymous: bool = False,
        version: str = "",
        source: str = "",
        proof: str = "",
    ) -> Told:
        """Store what a person (a caller's id) allows and refuses now.

        A consent to personalization takes an erased person off the suppression list.

        Raises:
            UsageError: a purpose that nobody declared, or none at all.
            ErasedError: the person was erased, and does not consent anew.
            TailorbirdError: it could not be stored.
        """
        known = self._door.policy.purposes
        unknown = sorted(set(purposes) - known)
        if unknown or not purposes:
            raise UsageError(
                f"no purpose {unknown[0]!r}" if unknown else "no purpose is named",
                remedy=f"name some of {', '.join(sorted(known))}; others are declared in privacy.toml, [purposes]",
            )
        person = self._door.person(identifier, anonymous=anonymous)
        if purposes.get(PERSONALIZATION):
            self._let_back(person)
        now = self._clock()
        told = {"version": version, "source": source, "proof": proof}
        event = Event(
            message_id=f"{CONSENT}-{uuid.uuid4()}",
            type=CONSENT,
            # The newest word counts: a clock that was set back must not make this one older than the last.
            event_time=max(now, self._last_word(person) + TICK_SECONDS),
            received_time=now,
            user_id=None if anonymous else identifier,
            anonymous_id=identifier if anonymous else None,
            context={SAID: dict(purposes)},
            properties={name: text for name, text in told.items() if text},
        )
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
        return Told(newest, history, delayed)

    def _last_word(self, person: str) -> float:
        """When the newest word was said under this very key, epoch seconds; 0 where there is none."""
        where = [("user_key", "=", person), ("type", "=", CONSENT)]
        with open_events(self._settings) as events:
            times = [
                batch["event_time"].cast(pa.int64()).to_numpy().max(initial=0)
                for batch in events.scan(columns=["user_key", "type", "event_time"], where=where)
            ]
        return max(times, default=0) / MICROSECONDS

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
