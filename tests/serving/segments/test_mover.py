"""Whoever is moved by an event has one move in the stream: the right one, once, whatever became of replicas and of the stream."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from feature_repo.command import build_features
from feature_repo.store import FeatureStoreRoom
from feature_repo.updater.folding import Change
from feature_repo.updater.updater import ProfileUpdater, rebuild_beside
from serving.collect.fold import ProfileFolder
from serving.lasting import LastingThread
from serving.segments.mover import OLDEST_SECONDS, Mover
from serving.segments.told import ToldPeople
from serving.triggers.deliverer import Deliverer
from serving.writer import GroupWriter
from tailorbird.catalog.log.told import Patch
from tailorbird.events.schema import MOVE, Event
from tailorbird.features.demographics import NOBODY
from tailorbird.features.profile.folding import fold
from tailorbird.features.profile.state import UserState
from tailorbird.segments.belonging import no_segments
from tailorbird.segments.finding.finding import Crowd, find, model_of
from tailorbird.segments.move import Move
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events
from tailorbird.streams.stream import Entry, Stream, StreamAwayError
from tailorbird.triggers.declared import TRIGGERS_FILE
from tailorbird.triggers.queue import QUEUE_FILE, DeliveryQueue
from tests.segments.carters import CARTS, LOOKS, carters, register_segments
from tests.segments.moves import moved
from tests.segments.toy import crowd
from tests.serving.triggers.subscriber import SECRET, Subscriber, wait_until
from tests.serving.world import World
from tests.slate import toy

EVENTS = "/v1/events"


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("tailorbird_moves_total", {"outcome": outcome}) or 0.0


def deed(number: int, kind: str, *, item: str = "i9", user: str = "ann", at: float = 0.0) -> Event:
    instant = toy.NOW + at
    return Event(f"{user}-{number}", kind, instant, instant, user_id=user, item_id=item)


STORY = [deed(n, "view", at=n) for n in range(3)] + [deed(n, "add_to_cart", at=n) for n in range(3, 8)]
"""Ann looks three times, which is enough to be known, and fills her cart."""


@contextmanager
def replica(
    settings: Settings, world: World, *, events: Stream[Event] | None = None
) -> Iterator[tuple[GroupWriter, Mover]]:
    """One more replica of collect beside the world's, without HTTP."""
    log, room = events or open_events(settings), FeatureStoreRoom(settings)
    mover = Mover(
        world.segments,
        events=log,
        read_parts=room.online_parts,
        history_length=settings.history_length,
        clock=lambda: world.clock,
        retry_seconds=0.02,
    )
    folder = ProfileFolder(ProfileUpdater(settings, room=room, log=log, on_changes=mover.take), log)
    writer = GroupWriter(log, fold=folder.fold, admit=world.door.events)
    mover.start(partial(writer.write, yielding=True))
    yield writer, mover
    for each in (writer, folder, mover, log):
        each.close()


@pytest.fixture
def known(world: World, tmp_path: Path) -> World:
    """The toy world with a promoted segment model."""
    register_segments(world.settings, carters(), tmp_path)
    world.segments.check()
    return world


def follows(settings: Settings) -> bool:
    """Whether somebody has begun to follow the events for triggers."""
    if not (settings.folder / QUEUE_FILE).exists():
        return False
    with closing(DeliveryQueue(settings.folder)) as waiting:
        return waiting.position is not None


def moves(world: World) -> list[Move]:
    """Those in the stream, once everything that waits was compared."""
    wait_until(lambda: world.mover._waiting == 0)
    entries = world.log.read(world.before).entries
    return [Move.of_event(each.record) for each in entries if each.record.type == MOVE]


def steps(found: Sequence[Move]) -> list[tuple[str, str, str, str]]:
    return [(each.user_key, each.from_segment, each.to_segment, each.cause) for each in found]


def tell(world: World, *events: Event) -> None:
    """Store events as one request brings them, in one transaction."""
    world.clock = max(world.clock, *(each.received_time for each in events))
    assert world.writer.write(events).result(timeout=20).folded


def story(world: World) -> None:
    for event in STORY:
        tell(world, event)


def test_a_person_is_first_known_and_then_moves_by_the_event_that_does_it(known: World) -> None:
    story(known)
    first, second = moves(known)
    assert steps([first, second]) == [
        (known.key("user:ann"), "", LOOKS, known.door.names.message("ann-2")),
        (known.key("user:ann"), LOOKS, CARTS, second.cause),
    ]
    stored = [known.door.named(event) for event in STORY]
    assert second.cause in {event.message_id for event in stored[3:]}
    assert (second.model, second.segment, second.kind) == ("1", "fills carts", "segment")
    assert second.reason == "add_to_cart: it is what is usual" or "lately" in second.reason
    cause = next(event for event in stored if event.message_id == second.cause)
    assert (second.at, first.reason) == (cause.received_time, "view: enough is known")
    state = known.profile("user:ann")
    assigned = carters().assign(state)
    assert (assigned.key, state.total) == (CARTS, len(STORY))  # moves are no deeds
    assert known.folder.behind is False


def test_who_looks_at_night_and_buys_in_the_morning_moves(world: World, tmp_path: Path) -> None:
    histories, kinds = crowd()
    found = find(Crowd.of(histories, np.full((len(kinds), 3), np.nan)), sizes=range(3, 4))
    assert found.proposed is not None
    model = model_of(found, found.proposed)
    register_segments(world.settings, model, tmp_path)
    world.segments.check()
    labels = model.labels(histories)[0]
    looks, buys = (model.keys[int(np.bincount(labels[kinds == kind]).argmax())] for kind in (0, 1))
    midnight, number, batches = toy.NOW // 86_400 * 86_400, 0, []
    for day in range(9):
        night = day < 5
        at = midnight + (day - 8) * 86_400 + (2.5 if night else 10.5) * 3_600
        for n in range(5):
            for kind in ("view",) if night else ("view", "add_to_cart", "purchase"):
                number, device = number + 1, {"device": "mobile" if night else "desktop"}
                event = deed(number, kind, item=f"i{n}", at=at + number - toy.NOW)
                batches.append(replace(event, session_id=f"s{day}", context=device))
    world.clock = batches[0].received_time
    for event in batches:
        tell(world, event)
    told = [each for each in moves(world) if each.from_segment]
    first = next(each for each in told if (each.from_segment, each.to_segment) == (looks, buys))
    assert first.model == "1"
    by_day = [event for event in batches if event.context["device"] == "desktop"]
    assert first.cause in {world.door.named(event).message_id for event in by_day}


@hypothesis_settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    order=st.permutations(range(len(STORY))), again=st.lists(st.integers(0, 7), max_size=3), data=st.data()
)
def test_late_shuffled_and_repeated_events_end_in_the_same_segment(
    known: World, order: list[int], again: list[int], data: st.DataObject
) -> None:
    user = f"u{data.draw(st.uuids())}"
    sent = [replace(STORY[n], message_id=f"{user}-{n}", user_id=user) for n in [*order, *again]]
    cut = data.draw(st.integers(1, len(sent)))
    tell(known, *sent[:cut])
    if sent[cut:]:
        tell(known, *sent[cut:])
    own = [each for each in moves(known) if each.user_key == known.key(f"user:{user}")]
    chain = ["", *(each.to_segment for each in own)]
    assert [each.from_segment for each in own] == chain[:-1]  # no gap, and no step that is none
    assert chain[-1] == carters().assign(known.profile(f"user:{user}")).key == CARTS


def test_profiles_are_the_same_with_moves_and_without(make_world, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    people = [f"p{n}" for n in range(8)]
    batches = []
    for batch in range(40):
        batches.append(
            [
                deed(
                    100 * batch + n,
                    str(rng.choice(["view", "add_to_cart", "impression", "purchase"])),
                    item=f"i{rng.integers(12)}",
                    user=str(rng.choice(people)),
                    at=float(batch),
                )
                for n in range(5)
            ]
        )
    rows = []
    for promoted in (True, False):
        world = make_world()
        if promoted:
            register_segments(world.settings, carters(), tmp_path)
            world.segments.check()
        for batch in batches:
            tell(world, *batch)
        assert (len(moves(world)) > 8) is promoted
        states = world.features.online_read([world.key(f"user:{each}") for each in people])
        rows.append([{**state.to_row(), "applied": None} for state in states])
        assert world.features.applied().reaches(world.log.end())
    for one, other in zip(*rows, strict=True):
        for name, value in one.items():
            np.testing.assert_array_equal(value, other[name])


@pytest.fixture
def still(known: World) -> Iterator[Mover]:
    """A mover that has not begun: what it takes can be looked at."""
    mover = Mover(
        known.segments,
        events=known.log,
        read_parts=known.features.online_parts,
        history_length=known.settings.history_length,
        clock=lambda: known.clock,
        capacity=3,
    )
    yield mover
    mover.close()


def change(*events: Event) -> Change:
    before = UserState.empty(events[0].user_key)
    placed = [Entry(0, place, event) for place, event in enumerate(events, start=1)]
    return Change(before, fold(before, events, toy.FACTS), placed)


def test_what_moves_nobody_is_not_looked_at(known: World, still: Mover) -> None:
    move = moved(user_id="ann", at=toy.NOW).to_event()
    still.take([change(deed(1, "impression"), deed(2, "hover"), deed(3, "scroll"), move)])
    still.take([change(deed(4, "view", at=-OLDEST_SECONDS - 1.0))])  # heard of too long ago
    assert still._deeds.empty()
    still.take([change(deed(5, "view", at=-OLDEST_SECONDS + 1.0), deed(6, "impression"))])
    assert still._deeds.get().causes == {"user:ann": deed(5, "view", at=-OLDEST_SECONDS + 1.0)}  # type: ignore[union-attr]


def test_without_a_segment_model_nothing_is_looked_at(known: World, still: Mover) -> None:
    still._segments = no_segments
    still.take([change(deed(1, "view"))])
    assert still._deeds.empty()


def test_no_more_people_wait_than_may_and_the_others_are_counted(known: World, still: Mover) -> None:
    unseen = counted("unseen")
    for _ in range(2):
        still.take([change(deed(1, "view", user=name)) for name in ("ann", "bob")])
    assert (still._waiting, counted("unseen") - unseen) == (2, 2)


def test_a_rebuild_and_a_repetition_add_none(known: World) -> None:
    story(known)
    told = moves(known)
    assert len(told) == 2
    rebuild_beside(known.settings, known.log)
    build_features(known.settings, force=True)
    for event in STORY:
        assert known.writer.write([event]).result(timeout=20).duplicates == 1
    assert moves(known) == told
    assert carters().assign(known.profile("user:ann")).key == CARTS


def test_who_was_away_for_long_tells_no_old_news(known: World) -> None:
    known.log.append(
        [known.door.named(event) for event in STORY]
    )  # by a replica that died before it could fold them
    known.clock = toy.NOW + OLDEST_SECONDS + 60.0
    tell(known, deed(20, "add_to_cart", at=OLDEST_SECONDS + 60.0))
    wait_until(lambda: known.profile("user:ann").total == len(STORY) + 1)
    # Where both were folded in one transaction the new event speaks for what it brought about; else nothing had moved by it.
    assert {each.cause for each in moves(known)} <= {known.door.names.message("ann-20")}


def test_two_replicas_say_it_once(known: World) -> None:
    with replica(known.settings, known) as (writer, mover):
        for place, event in enumerate(STORY):
            known.clock = event.received_time
            for each in (known.writer, writer)[:: 1 if place % 2 else -1]:
                each.write([event]).result(timeout=20)
        wait_until(lambda: mover._waiting == 0)
        told = moves(known)
        assert [(each.from_segment, each.to_segment) for each in told] == [("", LOOKS), (LOOKS, CARTS)]
        stored = counted("known")
        mover._append(told)  # as if both had folded the same
        assert (moves(known), counted("known") - stored) == (told, 2)


class Refusing:
    """The real stream, which refuses moves while ``away``."""

    def __init__(self, stream: Stream[Event]) -> None:
        self._stream, self.away, self.refused = stream, True, 0

    def append(self, records: Sequence[Event]):  # type: ignore[no-untyped-def]
        if self.away and any(each.type == MOVE for each in records):
            self.refused += 1
            raise StreamAwayError("no place for moves", remedy="wait")
        return self._stream.append(records)

    def __getattr__(self, name: str):  # type: ignore[no-untyped-def]
        return getattr(self._stream, name)


def test_a_stream_that_refuses_moves_fails_no_event_and_has_them_later(known: World) -> None:
    stream = Refusing(open_events(known.settings))
    with replica(known.settings, known, events=stream) as (writer, mover):  # type: ignore[arg-type]
        for event in STORY:
            known.clock = event.received_time
            assert writer.write([event]).result(timeout=5).accepted == 1
        wait_until(lambda: stream.refused >= 2)
        assert moves(known) == []
        stream.away = False
        wait_until(lambda: mover._waiting == 0)
        assert [each.to_segment for each in moves(known)] == [LOOKS, CARTS]


def test_a_move_of_somebody_who_was_forgotten_meanwhile_is_dropped(known: World) -> None:
    stream, dropped = Refusing(open_events(known.settings)), counted("dropped")
    with replica(known.settings, known, events=stream) as (writer, mover):  # type: ignore[arg-type]
        for event in STORY:
            known.clock = event.received_time
            writer.write([event]).result(timeout=5)
        wait_until(lambda: stream.refused)
        known.log.forget(known.key("user:ann"))
        stream.away = False
        wait_until(lambda: mover._waiting == 0)
    assert (moves(known), counted("dropped") - dropped) == ([], 2)


def test_what_waits_at_the_end_is_still_told(known: World) -> None:
    with replica(known.settings, known) as (writer, _):
        futures = []
        for event in STORY:
            known.clock = event.received_time
            futures.append(writer.write([event]))
    assert all(each.result().folded for each in futures)
    assert moves(known)[-1].to_segment == CARTS


def anonymous(event: Event) -> Event:
    return replace(event, user_id=None, anonymous_id="a7", message_id=f"a{event.message_id}")


def test_a_login_moves_the_user_and_so_does_what_is_done_under_the_anonymous_id_then(known: World) -> None:
    for event in STORY[:3]:
        tell(known, anonymous(event))
    login = Event("login", "identify", toy.NOW + 10, toy.NOW + 10, user_id="ann", anonymous_id="a7")
    tell(known, login)
    with replica(known.settings, known) as (writer, mover):  # another than the one that saw the login
        for event in STORY[3:]:
            known.clock += 1
            later = replace(anonymous(event), received_time=known.clock, event_time=known.clock)
            writer.write([later]).result(timeout=5)
        wait_until(lambda: mover._waiting == 0)
    tell(known, replace(login, message_id="logout", type="unlink", event_time=toy.NOW + 90))
    found = moves(known)
    assert [each[:3] for each in steps(found)] == [
        (known.key("anon:a7"), "", LOOKS),
        (known.key("user:ann"), "", LOOKS),
        (known.key("user:ann"), LOOKS, CARTS),
        (known.key("user:ann"), CARTS, ""),
    ]
    named = known.door.names.message
    assert (found[1].cause, found[1].reason) == (named("login"), "identify: enough is known")
    assert (found[3].cause, found[3].reason) == (named("logout"), "unlink: too little is known")


def test_another_model_moves_nobody_and_then_speaks_for_both_sides(known: World, tmp_path: Path) -> None:
    story(known)
    register_segments(known.settings, carters(carts="buys"), tmp_path)
    known.segments.check()
    tell(known, deed(30, "add_to_cart", at=20))
    assert len(moves(known)) == 2
    tell(known, *(deed(n, "view", at=5_000 + n) for n in range(40, 60)))
    assert [(each.model, each.from_segment, each.to_segment) for each in moves(known)[2:]] == [
        ("2", "buys", LOOKS)
    ]


def test_what_people_tell_is_at_hand_for_a_model_that_asks(world: World) -> None:
    told = ToldPeople(world.settings.catalog_folder, look_seconds=0.0)
    assert (told.of("user:someone").age, told.of("user:nobody")) == (30.0, NOBODY)
    world.tell(Patch.of_user("someone", {"age": 31.0}))
    assert told.of("user:someone").age == 31.0


def test_a_move_calls_a_subscriber(make_world, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_SECRET", SECRET)
    subscriber = Subscriber()
    world = make_world(lambda each: each.model_copy(update={"trigger_origins": subscriber.origin()}))
    register_segments(world.settings, carters(), tmp_path)
    world.segments.check()
    (world.settings.folder / TRIGGERS_FILE).write_text(
        f'[targets.crm]\nurl = "{subscriber.origin()}/hook"\nsecret_env = "CRM_SECRET"\n'
        f'[[triggers]]\ntarget = "crm"\nto = ["{CARTS}"]\n'
    )
    stop = threading.Event()
    deliverer = Deliverer(world.settings, stop=stop, look_seconds=0.02)
    thread = LastingThread(deliverer.run, name="triggers")
    try:
        wait_until(lambda: follows(world.settings))
        batch = [
            {"messageId": each.message_id, "type": each.type, "userId": "ann", "itemId": each.item_id}
            for each in STORY
        ]
        for each in batch:
            assert world.post(EVENTS, {"batch": [each]}).status_code == 202
        wait_until(lambda: subscriber.calls)
        (call,) = subscriber.calls
        assert call.signed()
        assert [call.json[each] for each in ("userId", "from", "to")] == ["ann", LOOKS, CARTS]
    finally:
        stop.set()
        thread.join(20)
        subscriber.close()


def test_an_event_that_ends_or_begins_a_rule_is_a_move_also_without_a_segment_model(world: World) -> None:
    (world.settings.folder / "rules.toml").write_text(
        '[looker]\nname = "only looks"\nwhen = "views_24h >= 2 and carts_24h = 0"\n'
        '[new]\nname = "new"\nwhen = "events_24h < 3"\n'
    )
    story(world)
    found = [(each.cause, each.rules_entered, each.rules_left) for each in moves(world)]
    named = world.door.names.message
    assert found == [
        (named("ann-0"), ("new",), ()),
        (named("ann-1"), ("looker",), ()),
        (named("ann-2"), (), ("new",)),
        (named("ann-3"), (), ("looker",)),
    ]
    assert {(each.kind, each.model, each.to_segment) for each in moves(world)} == {("rules", "", "")}
    world.clock += 2 * 86_400
    tell(world, deed(8, "view", at=world.clock - toy.NOW))
    (told,) = moves(world)[4:]
    assert (told.rules_entered, told.reason) == (("new",), "view: rules alone"), "time made it true"


def test_a_move_to_another_segment_says_which_rules_changed_with_it(known: World) -> None:
    (known.settings.folder / "rules.toml").write_text(
        f'[fills]\nname = "is known to fill carts"\nwhen = "segment = \'{CARTS}\'"\n'
    )
    known.clock += 2
    story(known)
    assert [(each.to_segment, each.rules_entered) for each in moves(known)] == [
        (LOOKS, ()),
        (CARTS, ("fills",)),
    ]
