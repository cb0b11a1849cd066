"""Reads people's profiles for those who look at them: live ones from the store, past ones from the stream of events."""

import threading
import time
from collections.abc import Callable
from functools import cached_property

from feature_repo.store import FeatureStoreRoom
from tailorbird.catalog.catalog import Catalog, Users
from tailorbird.catalog.log.delta import CatalogFollower
from tailorbird.errors import UsageError
from tailorbird.events.schema import CONSENT
from tailorbird.events.valence import RatingScale
from tailorbird.exposures.past import events_of_person
from tailorbird.exposures.profiles import fold_parts, joined_parts
from tailorbird.features.consent.consents import PERSONALIZATION
from tailorbird.features.demographics import NOBODY, Demographics, demographics_of
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.portrait.names import CatalogNames
from tailorbird.features.portrait.portrait import Portrait, portrait_of
from tailorbird.features.profile.state import UserState
from tailorbird.privacy.policy.policy import read_policy
from tailorbird.segments.belonging import Segments, no_segments
from tailorbird.segments.rules.rules import RulesNow, no_segment_rules
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events

LOOK_SECONDS = 10.0
"""How often names and demographics are compared with the catalogue at most: reading a large one takes seconds."""


class Portraits:
    """The people of one workspace. Any thread may ask; the catalogue is read when the first does.

    ``segments`` gives the segment model that says where somebody belongs, and ``rules`` the written rules, also of the past.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        segments: Segments = no_segments,
        rules: RulesNow = no_segment_rules,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._segments, self._clock = settings, segments, clock
        self._rules = rules
        self._reading = threading.Lock()
        self._catalogue: CatalogFollower | None = None
        self._looked = 0.0
        self._names: CatalogNames | None = None
        self._people: dict[str, Demographics] = {}

    @cached_property
    def _room(self) -> FeatureStoreRoom:
        return FeatureStoreRoom(self._settings)

    def live(self, user_key: str) -> Portrait:
        """Somebody as the next answer will see them.

        Raises:
            FeatureStoreAwayError: the profiles cannot be read.
        """
        (state,) = self._room.online_read([user_key])
        return self._drawn(state, user_key, now=self._clock())

    def linked_to(self, user_key: str) -> tuple[str, ...]:
        """The anonymous keys that are joined to a person now. Raises FeatureStoreAwayError."""
        return self._room.online_parts([user_key])[0].links.keys

    def at(self, user_key: str, instant: float) -> Portrait:
        """Somebody as they were known at ``instant`` (epoch seconds): from the events that had been received by then.

        Demographics, the segment model and the rules are today's. This reads all events of a person, and what items were.

        Raises:
            UsageError: the instant is not over yet.
            StreamAwayError: the events cannot be read.
        """
        if instant > self._clock():
            raise UsageError(f"at = {instant:.0f} is in the future", remedy="name an instant of the past")
        settings = self._settings
        with open_events(settings) as stream:
            events = [
                event
                for event in events_of_person(stream, user_key)
                # What a person refuses today is not looked at as it was, either.
                if event.received_time <= instant or event.type == CONSENT
            ]
        facts = ItemFacts.of(
            Catalog.read_with_history(settings.catalog_folder),
            scale=RatingScale.parse(settings.rating_scale),
        )
        length = settings.history_length
        taken_back = read_policy(settings).taken_back_us(PERSONALIZATION)
        parts = fold_parts({}, events, facts, history_length=length, taken_back=taken_back)
        return self._drawn(joined_parts(parts, user_key, history_length=length), user_key, now=instant)

    def _drawn(self, state: UserState, user_key: str, *, now: float) -> Portrait:
        (names, people), promoted = self._look(), self._segments()
        if state.links.consents.refuses(PERSONALIZATION):
            return portrait_of(state, names, now=now)
        person = people.get(user_key, NOBODY)
        belonging = promoted.belonging(state, person) if promoted else None
        key = belonging.key if belonging else ""
        held = self._rules().holding(state, now=now, demographics=person, segment=key)
        return portrait_of(
            state, names, now=now, demographics=person, belonging=belonging, segment_rules=held
        )

    def _look(self) -> tuple[CatalogNames, dict[str, Demographics]]:
        """Names and demographics, read again where the catalogue has changed since."""
        with self._reading:
            folder, now = self._settings.catalog_folder, time.monotonic()
            if self._names is None or now - self._looked >= LOOK_SECONDS:
                self._looked = now
                if self._catalogue is None:
                    self._catalogue = CatalogFollower(folder)  # before anything of it is read
                changed = self._catalogue.changes() is not None
                if self._names is None or changed:
                    self._names = CatalogNames.of(Catalog.read(folder))
                    self._people = demographics_of(Users.read(folder))
            return self._names, self._people
