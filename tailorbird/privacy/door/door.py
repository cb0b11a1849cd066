"""The door: what comes in under callers' own ids goes on under pseudonyms, and what may be personal is sealed or left outside.

Both doors of events (HTTP and ``ingest``), the requests for recommendations, the people's table and the commands that name
a person pass through here; nothing behind it knows a raw id.
"""

import time
from base64 import b64decode
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import orjson
import pandas as pd
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tailorbird.catalog.log.told import Patch
from tailorbird.errors import UsageError
from tailorbird.events.contract import Sent
from tailorbird.events.schema import ANONYMOUS, CONSENT, SAID_TYPES, USER, Event, user_key
from tailorbird.features.consent.standing import BASIS, noted, with_basis
from tailorbird.features.demographics import NOBODY, Demographics
from tailorbird.privacy.door.clean import CleanContexts
from tailorbird.privacy.door.minimise import (
    NOTHING_DECLARED,
    SEALED,
    Declared,
    kept_age,
    kept_attributes,
    kept_gender,
    kept_word,
)
from tailorbird.privacy.door.parting import ids_of, of_consent, parted
from tailorbird.privacy.door.tables import minimised, object_of, text_of, under_basis
from tailorbird.privacy.keys.keyring import Keyring, keyring_file, open_keyring
from tailorbird.privacy.keys.master import given_from_outside
from tailorbird.privacy.keys.pseudonyms import Pseudonyms
from tailorbird.privacy.people.book import Book
from tailorbird.privacy.policy.policy import Policy, PolicyNow, by_default
from tailorbird.privacy.policy.policy_file import PolicyFile
from tailorbird.privacy.policy.rules import Basis
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events
from tailorbird.streams.position import BEGINNING

_WORDS = {"gender": kept_gender, "country": kept_word, "age": kept_age}
"""What is told of people in a word."""
_COLUMNS = ("user_id", "anonymous_id", "session_id", "message_id", "recommendation_id")


class _Held(NamedTuple):
    """What follows from a policy, for many events; ``noted`` is what each says of the basis, where no rule narrows it."""

    policy: Policy
    covers: Basis
    noted: list[str] | None
    clean: CleanContexts

    @property
    def as_it_came(self) -> bool:
        """Whether nothing is noted of an event that has no text."""
        return self.noted is None and not self.covers.rules

    @classmethod
    def of(cls, policy: Policy) -> "_Held":
        covers = policy.covers
        return cls(policy, covers, noted(covers.purposes), CleanContexts(policy.declared))


_Owner = tuple[str | None, str | None]
"""Whose an event is: the user's name and the anonymous one. A plain tuple, as each event has one."""


class Door:
    """Thread-safe, where ``told`` is. ``names`` are the workspace's pseudonyms, ``book`` leads back.

    ``told`` is what a person (key) told of themselves, for a policy whose rules ask.
    """

    def __init__(
        self,
        keyring: Keyring,
        book: Book,
        *,
        policy: PolicyNow = by_default,
        told: Callable[[str], Demographics] = lambda person: NOBODY,
    ) -> None:
        self.keyring, self.book, self.names = keyring, book, Pseudonyms(keyring.pseudonyms)
        self._policy, self._told = policy, told
        self._held = _Held.of(policy())

    @classmethod
    def of(
        cls,
        settings: Settings,
        *,
        told: Callable[[str], Demographics] = lambda person: NOBODY,
        clock: Callable[[], float] = time.monotonic,
    ) -> "Door":
        """The workspace's door; ``clock`` (seconds) says when to look again whether its policy has changed.

        Raises:
            UsageError: its keys do not open, or its events were stored under other names than this machine would give.
        """
        if not keyring_file(settings).exists() and not given_from_outside(settings):
            _require_no_events(settings)
        keyring = open_keyring(settings)
        return cls(keyring, Book.of(settings, keyring), policy=PolicyFile(settings, clock=clock), told=told)

    @property
    def policy(self) -> Policy:
        """What the workspace decided, as its files say now."""
        return self._policy()

    def events(self, events: Sequence[Sent]) -> list[Event]:
        """Events as they are stored, of such as passed the contract; each is made once, as that is half of what the door costs.

        Raises:
            StreamAwayError: the book cannot be written.
        """
        owners, people = self._owners(events)
        held, under = self._holding(), self._under
        plain, is_clean = held.as_it_came, held.clean.holds
        as_they_came = [
            plain and not event.properties and (not event.context or is_clean(event.context))
            for event in events
        ]
        if all(as_they_came):
            self.book.meet(people)
            return [
                under(event, owner, event.context, event.properties)
                for event, owner in zip(events, owners, strict=True)
            ]
        ciphers = self.book.ciphers(people)
        return [
            under(event, owner, event.context, event.properties)
            if each
            else under(event, owner, *self._kept(event, owner, ciphers, held))
            for event, owner, each in zip(events, owners, as_they_came, strict=True)
        ]

    def frame(
        self,
        events: pd.DataFrame,
        *,
        declared: Declared | None = None,
        basis: Collection[str] | None = None,
        told: Callable[[str], Demographics] = lambda person: NOBODY,
    ) -> pd.DataFrame:
        """Rows of SCHEMA's columns as they are stored; ``declared`` texts count beside those of the policy.

        ``basis`` are the purposes that a legal basis covers, of data that came with one of its own; ``told`` is what a person
        (key) told, for a policy whose rules ask.

        Raises:
            StreamAwayError: the book cannot be written.
        """
        names = self.names
        makers = (names.user, names.anonymous, names.session, names.message, names.recommendation)
        columns = {
            column: names.column(events[column], make)
            for column, make in zip(_COLUMNS, makers, strict=True)
            if column in events
        }
        stored = events.assign(**columns)
        people: dict[str, str] = {}
        for column, make in (("user_id", USER), ("anonymous_id", ANONYMOUS)):
            if column in events:
                given = (
                    pd.DataFrame({"raw": events[column], "name": stored[column]})
                    .dropna()
                    .drop_duplicates("name")
                )
                people.update(
                    {f"{make}{name}": str(raw) for raw, name in zip(given["raw"], given["name"], strict=True)}
                )
        ciphers, held = self.book.ciphers(people), self._holding()
        kept = minimised(stored, events, ciphers, declared=declared or Declared(), policy=held.policy)
        covers = held.covers
        covers = covers if basis is None else replace(covers, purposes=frozenset(basis))
        return under_basis(kept, covers, told)

    def user(self, patch: Patch) -> Patch:
        """What is told of a user, as it is stored."""
        told = dict(patch.told)
        if told.get("attributes"):
            told["attributes"] = kept_attributes(
                told["attributes"], declared=self.policy.declared, ids=ids_of(patch.key)
            )
        told |= {name: None for name, kept in _WORDS.items() if not kept(told.get(name))}
        return replace(patch, key=self.names.user(patch.key), told=told)

    def users(self, rows: pd.DataFrame, *, declared: Declared = NOTHING_DECLARED) -> pd.DataFrame:
        """Rows of users with an id each, as they are stored."""
        named = rows.assign(user_id=self.names.column(rows["user_id"], self.names.user))
        for name, kept in _WORDS.items():
            if name in rows:
                fit = [each != each or kept(each) for each in rows[name]]
                named[name] = rows[name].where(pd.Series(fit, index=rows.index, dtype=bool), None)
        if "attributes" not in rows:
            return named
        declared = replace(declared, users=self.policy.declared.users | declared.users)
        return named.assign(
            attributes=[
                text_of(kept_attributes(object_of(each), declared=declared, ids=ids_of(own))) or "{}"
                for own, each in zip(rows["user_id"], rows["attributes"], strict=True)
            ]
        )

    def person(self, identifier: str, *, anonymous: bool = False) -> str:
        """The person key of a caller's id."""
        return self.names.person(identifier, anonymous=anonymous)

    def keys_of_id(self, identifier: str) -> tuple[str, str]:
        """The person keys that a caller's id may have: a user's, and an anonymous one's."""
        return self.names.person(identifier), self.names.person(identifier, anonymous=True)

    def callers_ids(self, people: Iterable[str]) -> dict[str, str]:
        """The callers' own ids by person key; who has none in the book is left out."""
        return self.book.callers_ids(people)

    def personal(self, event: Event) -> Mapping[str, object]:
        """What was sealed of an event (``context`` and ``properties`` as they came); empty where nothing was, or the key is gone."""
        sealed = event.properties.get(SEALED)
        if not isinstance(sealed, str):
            return {}
        opened = self.book.opened(event.user_key, b64decode(sealed))
        found: Mapping[str, object] = orjson.loads(opened) if opened else {}
        return found

    def close(self) -> None:
        """Release what is open; closing twice is fine."""
        self.book.close()

    def named(self, event: Event) -> Event:
        """The event under pseudonyms, with nothing else changed."""
        (owner,), _ = self._owners([event])
        return self._under(event, owner, event.context, event.properties)

    def _owners(self, events: Sequence[Sent]) -> tuple[list[_Owner], dict[str, str]]:
        """Whose each event is, and the callers' own ids of all whom they name, by person key."""
        user_name, anonymous_name = self.names.user, self.names.anonymous
        owners: list[_Owner] = []
        people: dict[str, str] = {}
        for event in events:
            named = visiting = None
            if user := event.user_id:
                named = user_name(user)
                people[f"{USER}{named}"] = user
            if visitor := event.anonymous_id:
                visiting = anonymous_name(visitor)
                people[f"{ANONYMOUS}{visiting}"] = visitor
            owners.append((named, visiting))
        return owners, people

    def _under(
        self,
        event: Sent,
        owner: _Owner,
        context: Mapping[str, object] | None,
        properties: Mapping[str, object] | None,
    ) -> Event:
        """The event under pseudonyms, with what is kept of its texts."""
        names = self.names
        return Event(
            names.message(event.message_id),
            event.type,
            event.event_time,
            event.received_time,
            *owner,
            names.session(event.session_id) if event.session_id else None,
            event.item_id,
            names.recommendation(event.recommendation_id) if event.recommendation_id else None,
            event.position,
            event.value,
            context or {},
            properties or {},
        )

    def _holding(self) -> "_Held":
        """What follows from the policy that holds now."""
        policy = self._policy()
        if policy is not self._held.policy:
            self._held = _Held.of(policy)
        return self._held

    def _kept(
        self, event: Sent, owner: _Owner, ciphers: Mapping[str, AESGCM], held: "_Held"
    ) -> tuple[Mapping[str, object], Mapping[str, object]]:
        """Of an event as it came what is kept of its texts, with the basis it came under, where that is not the usual one."""
        context, properties = event.context or {}, event.properties or {}
        user_id, anonymous_id = owner
        person = user_key(user_id=user_id, anonymous_id=anonymous_id)
        if properties or (context and not held.clean.holds(context)):
            context, properties = parted(
                context,
                properties,
                policy=held.policy,
                person=person,
                cipher=ciphers[person],
                declared=of_consent(event) if event.type == CONSENT else held.policy.declared,
                ids=ids_of(event.user_id, event.anonymous_id),
            )
        if event.type in SAID_TYPES:
            return context, properties
        if held.covers.rules:
            return with_basis(context, held.covers.of(context, self._told(person))), properties
        return context if held.noted is None else {**context, BASIS: held.noted}, properties


def _require_no_events(settings: Settings) -> None:
    """A new keyring would give people new names: everybody known would be somebody else."""
    with open_events(settings) as stream:
        if stream.end() == BEGINNING:
            return
    raise UsageError(
        f"the events of workspace {settings.workspace} are stored under names that this machine cannot give",
        remedy="give it the master key of the machine that stored them (TAILORBIRD_MASTER_KEY); a workspace of an older "
        "program is ingested again, into a new one",
    )
