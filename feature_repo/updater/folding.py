"""Folds events into rows: users' as they are before anybody has to wait, items' and what changed meanwhile in the transaction."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from feature_repo.definitions import ITEM_KEY, USER_KEY
from feature_repo.layout import ITEM_VIEW, USER_VIEW
from feature_repo.online.plugin import Stored
from feature_repo.online.tables import Marks, Tables
from feature_repo.rows import name_key
from feature_repo.store import FeatureStoreRoom, item_row
from feature_repo.updater.ahead import Entries
from tailorbird.events.schema import BESIDE_TYPES, Event
from tailorbird.features.consent.consents import PERSONALIZATION
from tailorbird.features.consent.standing import COVERED, standing_in
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.history.records import Records, records_of
from tailorbird.features.items.items import StaticItems
from tailorbird.features.profile.folding import fold_all
from tailorbird.features.profile.state import UserState
from tailorbird.privacy.policy.policy import PolicyNow, by_default
from tailorbird.streams.stream import Entry


class Change(NamedTuple):
    """One key's own profile before and after ``entries``, those of the batch that are its."""

    before: UserState
    after: UserState
    entries: Entries


@dataclass(frozen=True)
class Folded:
    """Profiles with ``entries`` added, ``records`` of what was new to them, and the ``marks`` of the tables they were read from.

    ``changes`` are those of each profile; ``lost`` are the keys of people whose row could not be read.
    """

    entries: Entries
    facts: ItemFacts
    keys: Sequence[bytes]
    changes: Sequence[Change]
    profiles: Sequence[Stored]
    records: Records
    marks: Marks
    lost: Sequence[bytes]


class Folding:
    """Folds events into the rows of one room."""

    def __init__(self, room: FeatureStoreRoom, *, policy: PolicyNow = by_default) -> None:
        self._room, self._policy = room, policy

    def fold(self, entries: Entries, facts: ItemFacts) -> Folded:
        """Add ``entries`` to what the users' rows hold now. Writes nothing; a row that cannot be read is reported and left out."""
        room, by_user = self._room, _by_user(entries)
        taken_back = self._policy().taken_back_us(PERSONALIZATION)
        key_of = {name: name_key(USER_KEY, name) for name in by_user}
        # Before the rows: what changes between is seen by whoever compares.
        marks = room.online.marks(room.config)
        states, lost = room.read_parts(list(by_user))
        # A row that cannot be read is left to be rebuilt from the whole stream: what is folded into nothing would hide that.
        lost |= {name for name, key in key_of.items() if key in marks.damaged_users}
        whole = [state for state in states if state.user_key not in lost]
        own = [by_user[state.user_key] for state in whole]
        folded, records = fold_all(
            whole,
            [[entry.record for entry in each] for each in own],
            facts,
            places=[[(entry.partition, entry.offset) for entry in each] for each in own],
            length=room.settings.history_length,
            taken_back=taken_back,
        )
        changes = [
            Change(before, after, each)
            for before, after, each in zip(whole, folded, own, strict=True)
            if after is not before
        ]
        missed = [
            each.record
            for key in sorted(lost)
            for each in by_user[key]
            if each.record.type not in BESIDE_TYPES and covered(each.record, taken_back=taken_back)
        ]
        if missed:
            records = Records.concatenated([records, records_of(missed, facts)])
        profiles = room.stored([each.after for each in changes if each.after.total or each.after.links])
        unread = [key_of[name] for name in sorted(lost)]
        return Folded(entries, facts, list(key_of.values()), changes, profiles, records, marks, unread)

    def still_holds(self, folded: Folded, tables: Tables) -> bool:
        """Whether the rows that ``folded`` was made from are those of now."""
        then, now = folded.marks, tables.marks(USER_VIEW)
        return then == now or (
            then.same_rows(now) and not tables.any_written(USER_VIEW, folded.keys, since=then.written)
        )

    def write(self, folded: Folded, tables: Tables, static: StaticItems) -> None:
        """Store the profiles and count what was new for the items, in the transaction of ``tables``."""
        room = self._room
        # Whoever met the damage before the transaction could not wait to say so.
        tables.report_damaged(USER_VIEW, folded.lost)
        if folded.profiles:
            room.online.write_rows(room.config, room.definitions.user_profile, folded.profiles)
        known = folded.records.take(folded.records.rows >= 0)
        if not len(known):
            return
        damaged = set(tables.damaged(ITEM_VIEW))
        rows, local = np.unique(known.rows, return_inverse=True)
        about = static.rows(rows)
        names = [str(row["item_id"]) for row in about]
        counters, lost = room.item_counters(names)
        counters.fold(known.packed, local)
        room.write_items(
            [
                item_row(about[place], counters, place)
                for place, name in enumerate(names)
                if name not in lost and (not damaged or name_key(ITEM_KEY, name) not in damaged)
            ]
        )


def covered(event: Event, *, taken_back: int) -> bool:
    """Whether an event counts for its item without a word of the person, who cannot be asked."""
    return standing_in(event, PERSONALIZATION, taken_back=taken_back) == COVERED


def _by_user(entries: Entries) -> dict[str, list[Entry[Event]]]:
    by_user: dict[str, list[Entry[Event]]] = defaultdict(list)
    for entry in entries:
        by_user[entry.record.user_key].append(entry)
    return by_user
