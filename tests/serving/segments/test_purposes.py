"""No move rests on an event that may not serve personalization by all that its person had said until then."""

import datetime as dt
import itertools
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from feature_repo.updater.updater import ProfileUpdater
from serving.collect.fold import ProfileFolder
from serving.segments.mover import Mover
from serving.writer import GroupWriter
from tailorbird.events.schema import LINK_TYPES, MOVE, Event
from tailorbird.privacy.policy.policy import POLICY_FILE
from tailorbird.privacy.policy.policy_file import PolicyFile
from tailorbird.segments.belonging import no_segments
from tailorbird.segments.move import Move
from tailorbird.segments.rules.file import RulesFile
from tailorbird.streams.factory import open_events
from tests.features.consent.test_consents import DEEDS, history_of, permitted_times
from tests.features.toy import NOON, event
from tests.proving import tries
from tests.serving.triggers.subscriber import wait_until
from tests.serving.world import World

RULED = ("view", "hide")
RULES = "".join(
    f'[{name}{count}]\nname = "{name} {count}"\nwhen = "{name}s_24h > {count}"\n'
    for name in RULED
    for count in range(5)
)
"""Whoever does one more thing that counts enters one more rule."""
NUMBERS = itertools.count()


class Teller:
    """Stores events as they are, one by one, and waits until whoever is moved by them is."""

    def __init__(self, world: World) -> None:
        (world.settings.folder / "rules.toml").write_text(RULES)
        self.now, self.heard = NOON, list[str]()
        self._log = open_events(world.settings)
        self._mover = Mover(
            no_segments,
            events=self._log,
            read_parts=world.features.online_parts,
            history_length=world.settings.history_length,
            rules=RulesFile(world.settings.folder, clock=lambda: self.now),
            policy=PolicyFile(world.settings, clock=time.monotonic),
            clock=lambda: self.now,
        )
        updater = ProfileUpdater(
            world.settings, room=world.features, log=self._log, on_changes=self._mover.take
        )
        self._folder = ProfileFolder(updater, self._log)
        self._writer = GroupWriter(self._log, fold=self._folder.fold)
        self._mover.start(partial(self._writer.write, yielding=True))

    def tell(self, event: Event) -> list[Move]:
        """The moves that an event led to."""
        before, self.now = self._log.end(), event.received_time
        assert self._writer.write([event]).result(timeout=20).folded
        self.heard.append(event.message_id)
        wait_until(lambda: self._mover._waiting == 0)
        found = [each.record for each in self._log.read(before).entries]
        return [Move.of_event(each) for each in found if each.type == MOVE]

    def close(self) -> None:
        for each in (self._writer, self._folder, self._mover, self._log):
            each.close()


def test_a_late_event_whose_basis_was_taken_back_moves_nobody_and_is_in_no_profile(world: World) -> None:
    until = dt.datetime.fromtimestamp(NOON + 10, dt.UTC).isoformat()
    (world.settings.folder / POLICY_FILE).write_text(f"[taken_back]\npersonalization = {until}\n")
    teller = Teller(world)
    late = replace(event("late", "view", "kettle", NOON + 5), received_time=NOON + 20)
    ahead = replace(event("ahead", "view", "kettle", NOON + 12), received_time=NOON + 9)
    after = replace(event("after", "view", "kettle", NOON + 15), received_time=NOON + 21)
    said = replace(
        event("said", "view", "novel", NOON + 6, context={"consent": True}), received_time=NOON + 22
    )
    try:
        for each, moved in ((late, False), (ahead, False), (after, True), (said, True)):
            assert bool(teller.tell(each)) == moved, each.message_id
    finally:
        teller.close()
    (profile,) = world.features.online_parts([after.user_key])
    assert sorted(profile.times.tolist()) == [NOON + 6, NOON + 15]


@pytest.fixture
def teller(world: World) -> Iterator[Teller]:
    made = Teller(world)
    yield made
    made.close()


def in_words_of(number: int, events: Sequence[Event]) -> list[Event]:
    """The same history of other people, so that many fit into one workspace."""
    return [
        replace(
            each,
            message_id=f"{number}-{each.message_id}",
            user_id=each.user_id and f"{each.user_id}{number}",
            anonymous_id=each.anonymous_id and f"{each.anonymous_id}-{number}",
        )
        for each in events
    ]


@pytest.mark.slow
@examples(
    max_examples=tries(40, 500),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(DEEDS, max_size=14))
def test_no_move_rests_on_an_event_without_its_purpose(
    teller: Teller, deeds: list[tuple[str, str, str]]
) -> None:
    number, plain = next(NUMBERS), history_of(deeds)
    for place, told in enumerate(in_words_of(number, plain)):
        heard = set(teller.heard)
        moves = teller.tell(told)
        assert len({move.cause for move in moves}) == len(moves)
        for move in moves:
            if move.cause in heard:  # another thread had folded it, and said so a moment later
                continue
            done = permitted(plain[: place + 1], of_user=move.user_id is not None)
            assert move.cause == told.message_id
            assert told.type in LINK_TYPES or told.event_time in {each.event_time for each in done}
            counts = Counter(each.type for each in done)
            assert set(move.rules_entered) <= {f"{name}{n}" for name in RULED for n in range(counts[name])}


def permitted(heard: Sequence[Event], *, of_user: bool) -> list[Event]:
    """What may be used of the user, or of the device by itself."""
    if of_user:
        times = permitted_times(heard)
    else:
        times = permitted_times([replace(each, user_id="ann") for each in heard if each.user_id is None])
    return [each for each in heard if each.event_time in times]


def test_these_histories_move_people(teller: Teller) -> None:
    """Else the property above would say nothing."""
    alike = [("view", "user", "novel"), ("no", "user", "novel"), ("view", "user", "novel")]
    told = in_words_of(
        next(NUMBERS), history_of([*alike, ("yes", "user", "novel"), ("view", "user", "novel")])
    )
    assert [len(teller.tell(each)) for each in told] == [1, 0, 0, 0, 1]
