"""A deliverer that is killed loses nothing and invents nothing: another goes on from what it had noted."""

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.serving.triggers.conftest import World
from tests.serving.triggers.subscriber import Subscriber, wait_until

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def begin(world: World, subscriber: Subscriber) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def begun() -> subprocess.Popen[bytes]:
        where = [str(world.settings.home), subscriber.origin()]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "tests.serving.triggers.child", *where]
        started.append(subprocess.Popen(command, cwd=ROOT, env=environment))
        return started[-1]

    yield begun
    for process in started:
        process.kill()
        process.wait()


def test_killed_between_queue_and_delivery_nothing_is_lost(world, subscriber, begin) -> None:
    release = threading.Event()
    subscriber.answer = lambda call: (500, {}) if not release.wait(30) else (200, {})
    world.declare(crm=subscriber.origin())
    first = begin()
    wait_until(world.follows)
    moves = world.move(*(f"m{n}" for n in range(30)))
    wait_until(lambda: world.waiting("crm") == 30 and len(subscriber.calls) == 2)
    first.kill()
    first.wait()
    assert world.waiting("crm") == 30
    more = world.move(*(f"n{n}" for n in range(10)))  # while nobody delivers
    release.set()
    begin()
    wait_until(lambda: world.waiting("crm") == 0 and len(set(subscriber.ids())) == 40)
    assert set(subscriber.ids()) == world.ids(moves + more, "crm")
    again = [each for each in set(subscriber.ids()) if subscriber.ids().count(each) > 1]
    assert len(again) <= 2  # what was on its way when it was killed


def test_killed_at_any_moment_every_move_is_told_and_no_other(world, subscriber, begin) -> None:
    rng, turns = random.Random(5), iter(range(10_000))
    subscriber.answer = lambda call: (200 if next(turns) % 3 else 503, {})
    world.declare(crm=subscriber.origin())
    path = world.settings.folder / "triggers.toml"
    path.write_text(path.read_text().replace("attempts = 3", "attempts = 20"))
    process = begin()
    wait_until(world.follows)
    moves = []
    for burst in range(3):
        for n in range(15):
            moves += world.move(f"m{burst}-{n}")
        wait_until(lambda: len(subscriber.calls) > burst * 15)  # noqa: B023 - it is asked at once
        time.sleep(rng.random() * 0.2)
        process.kill()
        process.wait()
        process = begin()
    wait_until(lambda: len(set(subscriber.ids())) == 45 and world.waiting("crm") == 0, seconds=60)
    assert set(subscriber.ids()) == world.ids(moves, "crm")
    assert world.counts() == {}
