"""Moves call subscribers: once, signed, again until taken, each at its own pace, and nobody waits for anybody."""

import threading
import time
from contextlib import closing

import pytest
from prometheus_client import REGISTRY

from serving.triggers.deliverer import follow_from_here
from tailorbird.segments.move import Move
from tailorbird.streams.factory import open_events
from tailorbird.triggers.declared import TRIGGERS_FILE
from tailorbird.triggers.pace import Backoff
from tailorbird.triggers.queue import QUEUE_FILE
from tests.features.toy import event
from tests.serving.triggers.conftest import World
from tests.serving.triggers.subscriber import Subscriber, wait_until


def outcomes(target: str, outcome: str) -> float:
    labels = {"target": target, "outcome": outcome}
    return REGISTRY.get_sample_value("tailorbird_trigger_deliveries_total", labels) or 0.0


def test_a_move_is_told_once_and_signed(world: World, subscriber: Subscriber) -> None:
    world.move("past")  # before anybody declared anything
    world.declare(crm=subscriber.origin() + "/hooks?shop=1")
    world.start()
    moves = world.move("m1", "m2")
    wait_until(lambda: world.waiting("crm") == 0 and len(subscriber.calls) >= 2)
    time.sleep(0.1)
    assert sorted(subscriber.ids()) == sorted(world.ids(moves, "crm"))
    call = next(each for each in subscriber.calls if each.id in world.ids(moves[:1], "crm"))
    assert call.path == "/hooks?shop=1"
    assert call.signed()
    assert not call.signed("another secret")
    assert (call.json["id"], call.json["userId"], call.json["to"]) == (call.id, "ann", "luxury-evening")
    assert call.headers["content-type"] == "application/json"


def test_what_happens_between_the_start_and_the_first_look_is_told(
    world: World, subscriber: Subscriber
) -> None:
    world.declare(crm=subscriber.origin())
    world.move("before")
    follow_from_here(world.settings)
    moves = world.move("m1")
    follow_from_here(world.settings)  # another start: what was noted stays
    world.start()
    wait_until(lambda: subscriber.calls)
    wait_until(lambda: world.waiting("crm") == 0)
    assert subscriber.ids() == list(world.ids(moves, "crm"))


def test_without_a_file_of_triggers_a_start_notes_nothing(world: World) -> None:
    follow_from_here(world.settings)
    assert not (world.settings.folder / QUEUE_FILE).exists()


def test_a_move_that_concerns_nobody_calls_nobody(world: World, subscriber: Subscriber) -> None:
    world.declare(crm=subscriber.origin())
    path = world.settings.folder / TRIGGERS_FILE
    path.write_text(path.read_text().replace('to = ["*"]', 'rule = "gone"\non = "leave"'))
    world.start()
    world.move("m1")
    moves = world.move("m2", rules_left=("gone",))
    wait_until(lambda: subscriber.calls)
    assert set(subscriber.ids()) == world.ids(moves, "crm")


def test_what_fails_is_tried_again_under_its_id_with_a_fresh_signature(
    world: World, subscriber: Subscriber
) -> None:
    statuses = iter([500, 503, 200])
    subscriber.answer = lambda call: (next(statuses), {})
    failed = outcomes("again", "failed")
    world.declare(again=subscriber.origin())
    world.start()
    (move,) = world.move("m1")
    wait_until(lambda: len(subscriber.calls) == 3 and world.waiting("again") == 0)
    assert set(subscriber.ids()) == world.ids([move], "again")
    assert len({call.body for call in subscriber.calls}) == 1
    assert all(call.signed() for call in subscriber.calls)
    assert world.counts() == {}
    assert outcomes("again", "failed") == failed + 2


def test_what_nobody_takes_is_a_dead_letter_and_is_delivered_once_it_is_replayed(
    world: World, subscriber: Subscriber
) -> None:
    subscriber.answer = lambda call: (500, {})
    world.declare(crm=subscriber.origin())
    world.start()
    moves = world.move("m1", "m2")
    wait_until(lambda: world.counts().get("crm") and world.counts()["crm"].dead == 2)
    assert sorted(subscriber.ids()) == sorted([*world.ids(moves, "crm")] * 3)
    assert outcomes("crm", "dead") >= 2
    with closing(world.queue()) as queue:
        assert {letter.delivery.reason for letter in queue.dead()} == {"answered 500"}
        subscriber.answer = lambda call: (204, {})
        subscriber.calls.clear()
        assert queue.replay(now=time.time(), target="crm") == 2
    wait_until(lambda: len(subscriber.calls) == 2 and world.counts() == {})
    assert set(subscriber.ids()) == world.ids(moves, "crm")


def test_a_subscriber_that_asks_for_time_gets_it(world: World, subscriber: Subscriber) -> None:
    first = []

    def answer(call):
        first.append(call)
        return (429, {"retry-after": "1"}) if len(first) == 1 else (200, {})

    subscriber.answer = answer
    world.declare(crm=subscriber.origin())
    world.start(backoff=Backoff(first_seconds=0.01, longest_seconds=5.0))
    world.move("m1")
    wait_until(lambda: len(subscriber.calls) == 2)
    assert subscriber.calls[1].at - subscriber.calls[0].at >= 1.0


def test_a_subscriber_that_stands_still_delays_no_other(world: World, subscriber: Subscriber) -> None:
    release = threading.Event()

    def answer(call):
        if call.path == "/slow":
            release.wait(30)
        return 200, {}

    subscriber.answer = answer
    world.declare(slow=subscriber.origin() + "/slow", quick=subscriber.origin() + "/quick")
    world.start()
    moves = world.move(*(f"m{n}" for n in range(40)))
    started = time.monotonic()
    wait_until(lambda: len(subscriber.ids("/quick")) == 40)
    assert time.monotonic() - started < 5.0
    assert len(subscriber.ids("/slow")) == 2  # its own lanes, and nobody else's
    assert world.waiting("slow") == 40
    appended = time.monotonic()
    world.move("another")  # an event is stored as ever
    assert time.monotonic() - appended < 1.0
    release.set()
    wait_until(lambda: world.waiting("slow") == 0)
    assert world.ids(moves, "slow") < set(subscriber.ids("/slow"))


def test_no_more_than_the_rate_of_a_target(world: World, subscriber: Subscriber) -> None:
    world.declare(crm=subscriber.origin())
    path = world.settings.folder / TRIGGERS_FILE
    path.write_text(path.read_text().replace("per_second = 500", "per_second = 20"))
    world.start()
    world.move(*(f"m{n}" for n in range(40)))
    wait_until(lambda: len(subscriber.calls) == 40)
    instants = sorted(call.at for call in subscriber.calls)
    assert instants[-1] - instants[0] > 0.95  # twenty at once, the others one in 50 ms


def test_a_redirect_is_followed_by_nobody(make_world, subscriber: Subscriber) -> None:
    elsewhere = Subscriber()
    subscriber.answer = lambda call: (302, {"location": elsewhere.origin() + "/stolen"})
    world = make_world(subscriber.origin(), elsewhere.origin())
    world.declare(crm=subscriber.origin())
    world.start()
    world.move("m1")
    wait_until(lambda: world.counts().get("crm") and world.counts()["crm"].dead == 1)
    with closing(world.queue()) as queue:
        assert "answered 302: redirects are not followed" in queue.dead()[0].delivery.reason
    assert elsewhere.calls == []
    elsewhere.close()


def test_an_address_that_is_not_listed_is_never_called(make_world, subscriber: Subscriber) -> None:
    world = make_world("https://crm.example.com")
    world.declare(crm=subscriber.origin())
    world.start()
    world.move("m1")
    wait_until(lambda: world.counts().get("crm") and world.counts()["crm"].dead == 1)
    with closing(world.queue()) as queue:
        assert "is not among TAILORBIRD_TRIGGER_ORIGINS" in queue.dead()[0].delivery.reason
    assert subscriber.calls == []


def test_a_file_that_changes_counts_at_once_and_a_broken_one_changes_nothing(
    world: World, subscriber: Subscriber
) -> None:
    world.declare(crm=subscriber.origin() + "/old")
    world.start()
    world.move("m1")
    wait_until(lambda: subscriber.ids("/old"))
    world.declare(crm=subscriber.origin() + "/new")
    time.sleep(1.1)
    world.move("m2")
    wait_until(lambda: subscriber.ids("/new"))
    (world.settings.folder / TRIGGERS_FILE).write_text("[targets.crm]\nurl = 1")
    time.sleep(1.1)
    world.move("m3")
    wait_until(lambda: len(subscriber.ids("/new")) == 2)


def test_events_wait_for_a_file_that_was_broken_from_the_beginning(
    world: World, subscriber: Subscriber
) -> None:
    world.declare(crm=subscriber.origin())
    world.start()
    world.stop()
    path = world.settings.folder / TRIGGERS_FILE
    right = path.read_text()
    path.write_text("broken")
    world.start()
    moves = world.move("m1")
    time.sleep(0.3)
    assert subscriber.calls == []
    path.write_text(right)
    wait_until(lambda: subscriber.calls)
    assert set(subscriber.ids()) == world.ids(moves, "crm")


def test_of_two_deliverers_one_delivers_and_the_other_takes_over(
    world: World, subscriber: Subscriber
) -> None:
    world.declare(crm=subscriber.origin())
    world.start()
    world.start()
    moves = world.move(*(f"m{n}" for n in range(20)))
    wait_until(lambda: world.waiting("crm") == 0 and len(subscriber.calls) >= 20)
    assert sorted(subscriber.ids()) == sorted(world.ids(moves, "crm"))
    stop, thread = world._running.pop(0)
    stop.set()
    thread.join(20)
    later = world.move("m20")
    wait_until(lambda: len(subscriber.calls) == 21)
    assert set(subscriber.ids()[20:]) == world.ids(later, "crm")


def test_without_a_file_nothing_is_opened_and_one_that_went_begins_anew(
    world: World, subscriber: Subscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.triggers.deliverer.GONE_SECONDS", 0.5)
    monkeypatch.setattr("tailorbird.plumbing.looked.LOOK_SECONDS", 0.05)
    world.declare(crm=subscriber.origin())
    world.start()
    path = world.settings.folder / TRIGGERS_FILE
    text = path.read_text()
    path.unlink()
    wait_until(lambda: not world.follows())
    world.move("while-it-was-gone")
    path.write_text(text)
    wait_until(world.follows)
    moves = world.move("m1")
    wait_until(lambda: subscriber.calls)
    time.sleep(0.1)
    assert set(subscriber.ids()) == world.ids(moves, "crm")


def test_a_move_that_cannot_be_read_stops_no_other(world: World, subscriber: Subscriber) -> None:
    world.declare(crm=subscriber.origin())
    world.start()
    with open_events(world.settings) as events:
        spoilt = event("spoilt", "segment_move", None, 1_750_000_000.0, properties={"to": 7})
        events.append([spoilt])
    moves: list[Move] = world.move("m1")
    wait_until(lambda: subscriber.calls)
    assert set(subscriber.ids()) == world.ids(moves, "crm")
