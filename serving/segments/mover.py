"""Says who moved: compares people's segments and rules before and after the events that were folded, and appends the moves to the stream.

It has a thread of its own and a bounded queue: no event waits for it, and none fails because a move does.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from feature_repo.updater.folding import Change
from serving import metrics
from serving.lasting import LastingThread
from serving.segments.owners import Owners
from serving.writer import Written
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.events.schema import CONSENT, MOVE, USER, Event
from tailorbird.features.consent.consents import PERSONALIZATION
from tailorbird.features.consent.standing import may_serve
from tailorbird.features.demographics import NOBODY, Demographics
from tailorbird.features.profile.merge import whole_profile
from tailorbird.features.profile.state import UserState
from tailorbird.features.table import PASSIVE_TYPES
from tailorbird.privacy.policy.policy import PolicyNow, by_default
from tailorbird.segments.belonging import PromotedSegments, Segments
from tailorbird.segments.model import NOT_KNOWN, NOWHERE
from tailorbird.segments.move import Move
from tailorbird.segments.moving import move_to, rules_moved
from tailorbird.segments.rules.rules import RulesNow, SegmentRules, no_segment_rules
from tailorbird.streams.stream import Stream

log = logging.getLogger("ray.serve.tailorbird")
UNMOVING = PASSIVE_TYPES | {MOVE, CONSENT}
"""What no history holds can move nobody."""
OLDEST_SECONDS = 3_600.0
"""An event that was received longer ago when it is folded makes no move: what is told so late is no news."""
WAITING_PEOPLE = 4_000
"""People whose profiles may wait to be compared: some 80 MB at most."""
REMEMBERED_PEOPLE = 20_000
"""People whose last segment is at hand when their next event comes."""
RETRY_SECONDS = 1.0

_Said = tuple[PromotedSegments | None, str, Demographics, str]
"""By which model the profile of which version, and what was told, gave which segment."""
Write = Callable[[Sequence[Event]], "Future[Written]"]


@dataclass(frozen=True, slots=True, eq=False)
class _Deeds:
    """What one transaction changed that may move people, by their own keys, and the last event of each."""

    by: PromotedSegments | None
    rules: SegmentRules
    changes: Mapping[str, Change]
    causes: Mapping[str, Event]


class Mover:
    """Moves of one replica's folding. ``take`` is given to the updater of profiles, before :meth:`start` too.

    ``read_parts`` reads what is under other keys; ``told`` is asked only by a model that was fitted with what people told,
    and by rules that ask for it.
    """

    def __init__(
        self,
        segments: Segments,
        *,
        events: Stream[Event],
        read_parts: Callable[[Sequence[str]], Sequence[UserState]],
        history_length: int,
        rules: RulesNow = no_segment_rules,
        policy: PolicyNow = by_default,
        owners: Owners | None = None,
        told: Callable[[str], Demographics] = lambda key: NOBODY,
        clock: Callable[[], float] = time.time,
        capacity: int = WAITING_PEOPLE,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._segments, self._events, self._read_parts = segments, events, read_parts
        self._length, self._told, self._clock = history_length, told, clock
        self._rules, self._policy = rules, policy
        self._owners = owners or Owners(events)
        self._capacity, self._retry_seconds = capacity, retry_seconds
        self._waiting, self._counting = 0, threading.Lock()
        self._deeds: queue.SimpleQueue[_Deeds | None] = queue.SimpleQueue()
        self._last: dict[str, _Said] = {}
        self._closing = threading.Event()
        self._write: Write | None = None
        self.thread: LastingThread | None = None

    def start(self, write: Write) -> None:
        """Begin to compare; ``write`` stores moves in the commit of events that come by, which it must not fail."""
        self._write = write
        self.thread = LastingThread(self._run, name="segment-mover")

    def take(self, changes: Sequence[Change]) -> None:
        """Note what a transaction changed. Without a promoted segment model and rules that is nothing."""
        by, rules = self._segments(), self._rules()
        if by is None and not rules.rules:
            return
        since, causes, moving = self._clock() - OLDEST_SECONDS, {}, {}
        taken_back = self._policy().taken_back_us(PERSONALIZATION)
        for change in changes:
            for entry in reversed(change.entries):
                event = entry.record
                if event.received_time >= since and _may_move(event, change.after, taken_back):
                    key = change.after.user_key
                    causes[key], moving[key] = event, change
                    break
        if not moving:
            return
        with self._counting:
            fits = not self._waiting or self._waiting + len(moving) <= self._capacity
            self._waiting += len(moving) if fits else 0
        if fits:
            self._deeds.put(_Deeds(by, rules, moving, causes))
        else:
            metrics.moves.labels("unseen").inc(len(moving))

    def close(self) -> None:
        """Compare and append what waits, then end. Call it once nothing is folded any more."""
        self._closing.set()
        self._deeds.put(None)
        if self.thread is not None:
            self.thread.join(timeout=10)

    def _run(self) -> None:
        while (deeds := self._deeds.get()) is not None:
            try:
                self._append(self._moves(deeds))
            except TailorbirdError as error:  # the stream or the store, of which linked keys are asked
                log.warning("whether %d people moved is not known: %s", len(deeds.changes), error)
                metrics.moves.labels("unseen").inc(len(deeds.changes))
            finally:
                with self._counting:
                    self._waiting -= len(deeds.changes)

    def _moves(self, deeds: _Deeds) -> list[Move]:
        known = {key: (change.before, change.after) for key, change in deeds.changes.items()}
        people = self._people(deeds, known)
        self._read([key for person in people for state in known[person] for key in state.links.keys], known)
        moves = []
        for person, cause in people.items():
            by, rules = deeds.by, deeds.rules
            asked = (by is not None and by.model.asks) or rules.asks_told
            told = self._told(person) if asked else NOBODY
            before, after = self._whole(person, known, 0), self._whole(person, known, 1)
            then, now = self._key(before, by, told), by.model.assign(after, told) if by else NOWHERE
            self._remember(person, (by, after.version, told, now.key))
            entered_and_left = rules_moved(
                rules, before, after, now=cause.received_time, demographics=told, then=then, key=now.key
            )
            if move := move_to(now, then=then, person=person, by=by, cause=cause, rules=entered_and_left):
                moves.append(move)
        return moves

    def _key(self, before: UserState, by: PromotedSegments | None, told: Demographics) -> str:
        """The segment of before: most often what was found when this very profile was the one after."""
        said = self._last.get(before.user_key)
        if said is not None and said[:3] == (by, before.version, told):
            return said[3]
        return by.model.assign(before, told).key if by else NOT_KNOWN

    def _remember(self, person: str, said: _Said) -> None:
        self._last.pop(person, None)
        self._last[person] = said
        if len(self._last) > REMEMBERED_PEOPLE:
            del self._last[next(iter(self._last))]

    def _people(self, deeds: _Deeds, known: dict[str, tuple[UserState, UserState]]) -> dict[str, Event]:
        """Whose profiles changed, and by what: whoever an anonymous key is linked to, else the key itself."""
        owners: dict[str, tuple[str, ...]] = {}
        for key, change in deeds.changes.items():
            for linked in change.after.links.keys:
                self._owners.learn(linked, key)
        for key in deeds.changes:
            owners[key] = () if key.startswith(USER) else self._owners.of(key)
        self._read([each for some in owners.values() for each in some], known)
        causes: dict[str, list[tuple[float, bool, Event]]] = {}
        for key, some in owners.items():
            cause = deeds.causes[key]
            for person in [each for each in some if key in known[each][1].links.keys] or [key]:
                causes.setdefault(person, []).append((cause.received_time, key == person, cause))
        # The last that was received; of two at once a person's own.
        return {person: max(some, key=lambda each: each[:2])[2] for person, some in causes.items()}

    def _read(self, keys: Sequence[str], known: dict[str, tuple[UserState, UserState]]) -> None:
        """Add what is not known yet: nothing of it changed in this transaction."""
        missing = sorted({key for key in keys if key not in known})
        if missing:
            for key, state in zip(missing, self._read_parts(missing), strict=True):
                known[key] = state, state

    def _whole(self, person: str, known: Mapping[str, tuple[UserState, UserState]], then: int) -> UserState:
        """The profile as an answer reads it: before (0) or after (1)."""
        own = known[person][then]
        return whole_profile(own, [known[key][then] for key in own.links.keys], length=self._length)

    def _append(self, moves: Sequence[Move]) -> None:
        """Store them; while the stream is away, try again for as long as they are news."""
        write = self._write
        while moves := self._still_due(moves):
            try:
                stored, known = self._store([move.to_event() for move in moves], write)
            except (TailorbirdError, RuntimeError) as error:
                if self._closing.is_set() or isinstance(error, UsageError):
                    log.warning("%d moves are lost: %s", len(moves), error)
                    metrics.moves.labels("dropped").inc(len(moves))
                    return
                log.warning("%d moves wait for the stream of events: %s", len(moves), error)
                self._closing.wait(self._retry_seconds)
                write = None  # by themselves: whoever stores events with them would try these twice
            else:
                metrics.moves.labels("stored").inc(stored)
                metrics.moves.labels("known").inc(known)
                return

    def _store(self, events: Sequence[Event], write: Write | None) -> tuple[int, int]:
        """How many were new, and how many known."""
        if write is None or self._closing.is_set():  # the writer has ended
            appended = self._events.append(events)
            return len(appended.entries), appended.duplicates
        written = write(events).result()
        return written.accepted, written.duplicates

    def _still_due(self, moves: Sequence[Move]) -> list[Move]:
        """Those that are news, and whose cause is there: whoever was forgotten meanwhile leaves no trace again."""
        since = self._clock() - OLDEST_SECONDS
        try:
            due = [move for move in moves if move.at >= since and self._events.find(move.cause) is not None]
        except TailorbirdError:
            return list(moves)  # the stream is away: the next try looks again
        metrics.moves.labels("dropped").inc(len(moves) - len(due))
        return due


def _may_move(event: Event, state: UserState, taken_back: int) -> bool:
    """Whether an event may be why somebody moves: a history holds it, and it may serve personalization by every word of now."""
    consents = state.links.consents
    return (
        event.type not in UNMOVING
        and not consents.restricted
        and may_serve(event, purpose=PERSONALIZATION, consents=consents, taken_back=taken_back)
    )
