"""Keeps profiles live: folds events into the online rows the moment they are in the stream, each exactly once."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from feature_repo.away import FeatureStoreAwayError
from feature_repo.config import repo_config
from feature_repo.online.factory import online_position
from feature_repo.online.tables import Tables
from feature_repo.store import VIEWS, FeatureStoreRoom
from feature_repo.updater.ahead import Entries, ReadAhead, ends, follows
from feature_repo.updater.fill import fill
from feature_repo.updater.folding import Change, Folded, Folding
from feature_repo.updater.repair import repair
from tailorbird.events.schema import Event
from tailorbird.events.valence import RatingScale
from tailorbird.features.consent.links import Links
from tailorbird.features.items.followed import FollowedFacts
from tailorbird.features.profile.adding import add_nothing
from tailorbird.privacy.policy.policy_file import PolicyFile
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events, skip_offsets
from tailorbird.streams.position import BEGINNING, Position
from tailorbird.streams.stream import Entry, Stream, StreamAwayError

_journal = logging.getLogger(__name__)
AT_ONCE = 500
"""Events of one transaction: whoever waits for the rows, a 202 among them, waits for so many at most."""
MISSING_STEPS = 4
"""Transactions that a batch spends on events it was not given, which others appended before it; more come later."""
PASSING_SECONDS = 0.2
"""How long a batch waits for the one before it, which another process has appended and not folded yet."""
_BETWEEN_SECONDS = 0.001
READ_AHEAD = AT_ONCE * (MISSING_STEPS + 1)
"""Events of one read of the stream: its archive opens a file for each, however few events are asked for."""


@dataclass(frozen=True)
class Applied:
    """What an update changed: profiles, events folded in (duplicates left out), and the position.

    ``behind`` where too much was missing before the batch: all of it, or part of it, is yet to be caught up with.
    """

    users: int
    events: int
    position: Position
    behind: bool = False


class ProfileUpdater:
    """Folds the stream's events into user and item rows, in transactions of a bounded size.

    The position commits with the rows it speaks of: they hold every event up to it and none beyond. So a batch that does
    not follow the position (another process appended events and has not applied them yet) is not folded itself, but what
    the stream holds from there on, the batch included. Any number of updaters may work on one store, and any thread.

    ``on_changes`` hears what each transaction changed, once that stands: of all updaters the one that committed it says so.
    It must not wait. What is made anew beside, or mended, is no change.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        room: FeatureStoreRoom | None = None,
        log: Stream[Event] | None = None,
        on_changes: Callable[[Sequence[Change]], object] = lambda changes: None,
    ) -> None:
        self._settings, self._on_changes = settings, on_changes
        self._room = room or FeatureStoreRoom(settings)
        self._log = log
        self._ahead = ReadAhead(limit=READ_AHEAD)
        # What it will be given is stored from now on: whoever is forgotten until now is in none of it.
        self._forgotten, self._doubtful = self._forgotten_until_now(), BEGINNING
        scale = RatingScale.parse(settings.rating_scale)
        self._items = FollowedFacts(settings.catalog_folder, scale=scale)
        self._folding = Folding(self._room, policy=PolicyFile(settings, clock=time.monotonic))
        self._turn = threading.Lock()
        self._load_catalog()
        add_nothing()
        if log is not None:
            self._keep_past_rows(log)

    def apply(self, batch: Entries) -> Applied:
        """Fold in events from where they stand. Raises FeatureStoreAwayError; what is folded until then stays."""
        last = ends(batch)
        ordered = sorted(batch, key=lambda entry: (entry.partition, entry.offset))
        users = events = 0
        position, missing = BEGINNING, 0
        while True:
            step = self._step(ordered, patient=not missing)
            users, events, position = users + step.users, events + step.events, step.position
            if position.reaches(last):
                return Applied(users, events, position)
            missing += not step.given
            if missing > MISSING_STEPS:
                return Applied(users, events, position, behind=True)

    def catch_up(
        self, log: Stream[Event], *, on_events: Callable[[int], object] = lambda count: None
    ) -> Applied:
        """Fold in whatever the stream holds past the position, letting others pass after each step; mend damaged rows.

        Where the store has lost all rows, they are made again beside, and nobody takes half of them for whole.
        """
        if not self._room.beside and self._room.is_lost():
            _journal.warning("online rows are lost, or were never there: they are made again from the events")
            return rebuild_beside(self._settings, log, on_events=on_events)
        self._room.create_online()
        if self._log is not log:
            self._log, self._ahead = log, ReadAhead(limit=READ_AHEAD)
        users = events = 0
        while (step := self._step([])).read:
            users, events = users + step.users, events + step.events
            on_events(step.read)
        if self._room.beside:
            with self._room.online.tables(self._room.config) as tables:
                tables.distrust_forgotten(VIEWS)
        repair(self._room, log, self._facts, self._static)
        if not self._room.beside:
            with self._room.online.tables(self._room.config) as tables:
                tables.adopt(VIEWS)
        return Applied(users, events, step.position)

    def links_of(self, user_key: str) -> Links:
        """What was last said of the anonymous ids of a person."""
        return self._room.online_parts([user_key])[0].links

    def newest_of(self, user_key: str) -> int:
        """When the newest of what is known under a key was done or said, epoch microseconds; 0 for nothing."""
        state = self._room.online_parts([user_key])[0]
        return max(state.last_seen, state.links.consents.newest)

    def applied(self) -> Position:
        """How far the rows follow the stream."""
        return self._room.applied()

    def has_damage(self) -> bool:
        """Whether rows are known that cannot be read: the next catch-up rebuilds them."""
        return self._room.online.has_damage(self._room.config)

    def take_over(self, log: Stream[Event]) -> Position:
        """Put rows that were made beside in the place of the live ones, once they hold every event that those hold."""
        self.catch_up(log)
        live = repo_config(self._settings)
        with self._room.online.tables(live) as tables:
            while self._step([]).read:  # the last events, while everybody waits
                pass
            tables.exchange(VIEWS)
            tables.adopt(VIEWS)
            return tables.position()

    def _step(self, given: Entries, *, patient: bool = False) -> "_Step":
        """One transaction: fold the next of ``given`` if they follow the position, else what the stream holds there.

        What takes long is made before anybody has to wait: events are read, or folded into the rows as they are then.
        """
        online, config = self._room.online, self._room.config
        folded = self._fold_ahead(given, patient=patient) if given else None
        with self._turn:
            self._load_catalog()
            if not given:
                forgotten = online.forgotten(config)
                self._ahead.look(self._stream(), online.position(config), forgotten=forgotten)
            with online.tables(config) as tables:
                before = tables.position()
                entries = _next(given, before)
                if given and not entries:
                    return _Step(0, 0, before, given=True)
                from_stream = (
                    not entries or not follows(before, entries) or self._may_be_gone(entries, tables)
                )
                if from_stream:
                    self._ahead.look(self._stream(), before, forgotten=tables.forgotten())
                    chunk = self._ahead.first(AT_ONCE)
                    entries, position = chunk.entries, chunk.position
                    if not entries:
                        if not before.reaches(position):  # who stood there is forgotten
                            tables.set_position(position)
                        return _Step(0, 0, position)
                else:
                    position = before.joined(ends(entries))
                if folded is None or not self._holds(folded, entries, tables):
                    folded = self._folding.fold(entries, self._facts)
                self._folding.write(folded, tables, self._static)
                tables.set_position(position)
            self._on_changes(folded.changes)
        counted = len(folded.profiles), len(folded.records)
        return _Step(*counted, position, read=len(entries), given=not from_stream)

    def _forgotten_until_now(self) -> int:
        try:
            return self._room.online.forgotten(self._room.config)
        except FeatureStoreAwayError:
            return -1  # not known: what comes first is looked for in the stream

    def _may_be_gone(self, entries: Entries, tables: Tables) -> bool:
        """Whether some of these were stored before somebody was forgotten: only the stream knows whose are still there."""
        forgotten = tables.forgotten()
        if forgotten != self._forgotten:
            # The mark is read first: whoever is forgotten after it changes it again, and this is looked at again.
            self._doubtful = self._stream().end()
            self._forgotten = forgotten
        return any(self._doubtful.holds(each.partition, each.offset) for each in entries)

    def _fold_ahead(self, given: Entries, *, patient: bool) -> Folded | None:
        """The next of ``given`` folded into the rows as they are now; None where all of them are in the rows already."""
        with self._turn:
            self._load_catalog()
            entries = _next(given, self._room.online.position(self._room.config))
            folded = self._folding.fold(entries, self._facts) if entries else None
        if patient and entries:
            self._let_others_pass(entries[0])
        return folded

    def _holds(self, folded: Folded, entries: Entries, tables: Tables) -> bool:
        """Whether ``folded`` is what folding ``entries`` would give now."""
        same = folded.facts is self._facts and folded.entries == entries
        return same and self._folding.still_holds(folded, tables)

    def _let_others_pass(self, first: Entry[Event]) -> None:
        """Wait a moment for whoever folds the batch before this one: they have read their rows already.

        A long way behind, nobody is about to fold what is missing.
        """
        online, config = self._room.online, self._room.config
        deadline = time.monotonic() + PASSING_SECONDS
        while 0 < first.offset - 1 - online.position(config)[first.partition] <= AT_ONCE:
            if time.monotonic() > deadline:
                return
            time.sleep(_BETWEEN_SECONDS)

    def _stream(self) -> Stream[Event]:
        if self._log is None:
            self._log = open_events(self._settings)
            self._keep_past_rows(self._log)
        return self._log

    def _keep_past_rows(self, log: Stream[Event]) -> None:
        """Where rows hold events past the log's end, a copy of which was put back, new events get places past these."""
        held = BEGINNING if self._room.beside else online_position(self._settings)
        try:
            end = log.end()
        except StreamAwayError as error:
            _journal.warning("how far the event log goes is not known yet: %s", error)
            return
        if not end.reaches(held):
            skip_offsets(log, through=held)
            _journal.warning(
                "profiles of workspace %s hold events up to %s that the event log lacks, as after an older copy was put "
                "back: new events go on from there; have the lost ones sent again, then run `tailorbird features --force`",
                self._settings.workspace,
                held.to_text(),
            )

    def _load_catalog(self) -> None:
        """Look whether the catalogue has changed; without one, events count but say nothing of items."""
        self._items.look()
        self._facts, self._static = self._items.both


def rebuild_beside(
    settings: Settings, log: Stream[Event], *, on_events: Callable[[int], object] = lambda count: None
) -> Applied:
    """Make all online rows in bulk beside the live ones, which go on being read and updated, then exchange them at once.

    Raises FeatureStoreAwayError where somebody else is at it.
    """
    beside = FeatureStoreRoom(settings, beside=True)
    with beside.online.database(beside.config).alone("rebuild") as mine:
        if not mine:
            raise FeatureStoreAwayError(
                f"the online rows of workspace {settings.workspace} are being made anew already",
                remedy="wait until that has ended",
            )
        beside.start_anew()
        updater = ProfileUpdater(settings, room=beside, log=log)
        filled = fill(beside, log, on_events=on_events)
        applied = updater.catch_up(log, on_events=on_events)
        return replace(applied, events=filled + applied.events, position=updater.take_over(log))


@dataclass(frozen=True)
class _Step:
    """One transaction: profiles changed, events folded in, the position after it; events read; whether they were given."""

    users: int
    events: int
    position: Position
    read: int = 0
    given: bool = False


def _next(given: Entries, position: Position) -> Entries:
    """The first of ``given`` past the position, for one transaction."""
    return [each for each in given if not position.holds(each.partition, each.offset)][:AT_ONCE]
