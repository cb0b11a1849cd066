"""The queue: what is followed and what is queued are one, bounds hold, dead letters come back under their ids."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tailorbird.streams.position import Position
from tailorbird.triggers.delivery import Delivery
from tailorbird.triggers.queue import Counts, DeliveryQueue, counts_in
from tests.segments.moves import moved


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[DeliveryQueue]:
    opened = DeliveryQueue(tmp_path, most_waiting=3, most_dead=2)
    yield opened
    opened.close()


def delivery(cause: str, *, target: str = "crm", now: float = 10.0) -> Delivery:
    return Delivery.of(moved(cause=cause), target=target, now=now)


def ids(deliveries: list[Delivery]) -> set[str]:
    return {each.id for each in deliveries}


def test_what_is_followed_and_what_is_queued_are_both_there_or_neither(queue: DeliveryQueue) -> None:
    assert queue.position is None
    queue.follow(Position({0: 4}), [delivery("a"), delivery("b", target="mail")])
    assert queue.position == Position({0: 4})
    assert ids(queue.due("crm", now=10.0, limit=9)) == {delivery("a").id}
    broken = replace(delivery("c"), body=None)  # type: ignore[arg-type]
    with pytest.raises(Exception, match="cannot be stored"):
        queue.follow(Position({0: 9}), [delivery("d"), broken])
    assert queue.position == Position({0: 4})
    assert ids(queue.due("crm", now=10.0, limit=9)) == {delivery("a").id}


def test_a_delivery_that_failed_is_due_later_and_one_that_is_known_stays_as_it_is(
    queue: DeliveryQueue,
) -> None:
    queue.follow(Position({0: 1}), [delivery("a"), delivery("b")])
    (first,) = queue.due("crm", now=10.0, limit=1)
    queue.failed(first, reason="answered 500", next_at=50.0)
    queue.follow(Position({0: 2}), [delivery("a", now=11.0)])
    (other,) = queue.due("crm", now=49.0, limit=9)
    assert other.id != first.id
    assert queue.next_at("crm", after=49.0) == 50.0
    assert queue.next_at("mail", after=0.0) is None
    queue.delivered(other)
    (again,) = queue.due("crm", now=50.0, limit=9)
    assert again == replace(first, attempts=1, reason="answered 500")


def test_too_many_that_wait_go_to_the_dead_letters_and_touch_no_other_target(queue: DeliveryQueue) -> None:
    queue.follow(Position({0: 1}), [delivery(str(n), now=float(n)) for n in range(4)])
    queue.follow(
        Position({0: 2}), [delivery("4", now=4.0), delivery("m", target="mail"), delivery("5", now=5.0)]
    )
    assert queue.counts() == {
        "crm": Counts(waiting=3, dead=2, dropped=1, next_at=0.0),  # of three dead the oldest was dropped
        "mail": Counts(waiting=1, next_at=10.0),
    }
    dead = queue.dead(target="crm")
    assert [each.delivery.id for each in dead] == [delivery("5").id, delivery("4").id]
    assert dead[0].delivery.reason == "3 deliveries waited already"


def test_dead_letters_are_replayed_all_of_a_target_or_one(queue: DeliveryQueue) -> None:
    queue.follow(Position({0: 1}), [delivery("a"), delivery("b"), delivery("c", target="mail")])
    for target in ("crm", "mail"):
        for each in queue.due(target, now=10.0, limit=9):
            queue.give_up(each, reason="answered 404", now=20.0)
    assert queue.counts() == {"crm": Counts(dead=2), "mail": Counts(dead=1)}
    assert [each.delivery.attempts for each in queue.dead(target="crm")] == [1, 1]
    assert queue.replay(now=30.0, identity=delivery("a").id) == 1
    assert queue.replay(now=30.0, identity=delivery("a").id) == 0  # it waits by now
    assert queue.replay(now=30.0, target="mail") == 1
    assert queue.due("crm", now=29.0, limit=9) == []
    assert [(each.id, each.attempts) for each in queue.due("crm", now=30.0, limit=9)] == [
        (delivery("a").id, 0)
    ]
    assert queue.replay(now=30.0) == 1
    assert queue.dead() == []


def test_a_person_is_forgotten_in_it(queue: DeliveryQueue) -> None:
    bob = Delivery.of(moved(user_id="bob"), target="crm", now=10.0)
    queue.follow(Position({0: 1}), [delivery("a"), bob])
    assert queue.count_of(["user:ann", "user:bob"]) == {"user:ann": 1, "user:bob": 1}
    assert queue.forget_all(["user:ann", "user:nobody"]) == {"user:ann": 1}
    assert queue.count_of(["user:ann"]) == {}
    assert queue.due("crm", now=10.0, limit=9) == [bob]


def test_looking_makes_nothing(tmp_path: Path) -> None:
    assert counts_in(tmp_path) == {}
    assert list(tmp_path.iterdir()) == []
