"""What was shown is stored beside the answers: they never wait for it, and what cannot be stored is counted and said."""

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

from serving.recommend.slate.exposures import ExposureWriter
from tailorbird.exposures.exposure import in_sample
from tailorbird.settings import load_settings
from tailorbird.streams.factory import open_exposures
from tailorbird.streams.position import BEGINNING
from tests.exposures import toy as exposures

PATH = "/v1/recommendations"


@pytest.fixture
def stream(tmp_path):
    opened = open_exposures(load_settings(home=tmp_path, workspace="w"))
    yield opened
    opened.close()


def stored(stream):
    return [entry.record for entry in stream.read(BEGINNING, limit=100_000).entries]


def wait_until(true, seconds=20):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_everything_that_is_put_is_stored_once(stream):
    outcomes = Counter()
    writer = ExposureWriter(
        stream, pause_seconds=0.01, on_outcome=lambda name, count: outcomes.update({name: count})
    )
    made = [exposures.exposure(n) for n in range(200)]
    for each in made:
        writer.put(lambda each=each: each)
    writer.close()
    assert stored(stream) == made
    assert outcomes == {"stored": 200}
    assert writer.trouble == ""


def test_beyond_the_capacity_the_newest_are_dropped_counted_and_named(stream):
    outcomes, gate, now = Counter(), threading.Event(), [0.0]
    writer = ExposureWriter(
        stream,
        capacity=5,
        pause_seconds=0.001,
        on_outcome=lambda name, count: outcomes.update({name: count}),
        clock=lambda: now[0],
    )

    def slow():
        gate.wait(10)
        return exposures.exposure(0)

    writer.put(slow)
    wait_until(lambda: not writer._waiting)  # the thread is at it
    for n in range(1, 51):
        writer.put(lambda n=n: exposures.exposure(n))
    assert "were dropped" in writer.trouble
    gate.set()
    writer.close()
    assert outcomes["stored"] + outcomes["dropped"] == 51
    assert outcomes["dropped"] >= 45
    assert len(stored(stream)) == outcomes["stored"]
    now[0] += 61
    assert writer.trouble == ""


def test_an_answer_that_cannot_be_described_costs_the_others_nothing(stream):
    outcomes = Counter()
    writer = ExposureWriter(
        stream, pause_seconds=0.01, on_outcome=lambda name, count: outcomes.update({name: count})
    )

    def torn():
        raise ValueError("torn")

    for n in range(10):
        writer.put(torn if n == 4 else lambda n=n: exposures.exposure(n))
    writer.close()
    assert outcomes == {"failed": 1, "stored": 9}


def test_a_full_disk_waits_then_drops_and_is_over_when_there_is_room(stream):
    outcomes = Counter()
    writer = ExposureWriter(
        stream,
        capacity=300,
        pause_seconds=0.01,
        retry_seconds=0.05,
        on_outcome=lambda name, count: outcomes.update({name: count}),
    )
    connection = stream._database._writer  # SQLite's own limit: it says what a full disk says
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    for n in range(400):
        writer.put(lambda n=n: exposures.exposure(n))
    wait_until(lambda: "full" in writer.trouble)
    assert writer.waiting <= 300
    connection.execute("PRAGMA max_page_count = 1073741823")
    wait_until(lambda: not writer.waiting)
    writer.close()
    assert outcomes["stored"] + outcomes["dropped"] == 400
    assert outcomes["stored"] >= 300
    assert len(stored(stream)) == outcomes["stored"]


def test_a_full_disk_for_exposures_hurts_neither_answers_nor_events(world):
    connection = world.shown._database._writer
    connection.execute(f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0]}")
    for n in range(60):
        assert world.post(PATH, {"userId": f"u{n}", "numResults": 5}).status_code == 200
    wait_until(lambda: any("full" in text for text in world.call("GET", "/health/ready").json()["problems"]))
    event = {"messageId": "m", "type": "view", "userId": "ann", "itemId": "i0"}
    assert world.post("/v1/events", {"batch": [event]}).json()["accepted"] == 1
    ready = world.call("GET", "/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    connection.execute("PRAGMA max_page_count = 1073741823")
    wait_until(lambda: not world.call("GET", "/health/ready").json()["problems"])
    assert len(world.stored()) == 60


def test_a_locked_database_delays_exposures_and_nothing_else(world):
    busy = sqlite3.connect(world.shown.path, isolation_level=None)
    busy.execute("BEGIN IMMEDIATE")
    for n in range(10):
        assert world.post(PATH, {"userId": f"u{n}", "numResults": 2}).status_code == 200
    busy.execute("ROLLBACK")
    busy.close()
    assert len(world.stored()) == 10


def test_the_sample_has_every_input_and_the_others_none(make_world):
    world = make_world()
    world.service._sample_share = 0.5
    for n in range(40):
        world.post(PATH, {"userId": f"u{n}", "numResults": 2})
    for exposure in world.stored():
        assert (exposure.inputs is not None) == in_sample(exposure.recommendation_id, 0.5)
        if exposure.inputs is not None:
            assert len(exposure.inputs.item) == len(exposure.inputs.cross) == 2


KILLED = """
import sys, time
from serving.recommend.slate.exposures import ExposureWriter
from tailorbird.settings import load_settings
from tailorbird.streams.factory import open_exposures
from tests.exposures import toy
writer = ExposureWriter(open_exposures(load_settings(home=sys.argv[1], workspace="w")))
n = 0
while True:
    made = toy.exposure(n)
    writer.put(lambda made=made: made)
    print(n, time.time(), flush=True)
    n += 1
    time.sleep(0.002)
"""


def test_a_killed_process_loses_its_last_second_at_most(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(300)]
        killed = time.time()
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().splitlines()
    put = {
        int(number): float(at) for number, at in (line.split() for line in lines if len(line.split()) == 2)
    }
    with open_exposures(load_settings(home=tmp_path, workspace="w")) as stream:
        kept = {int(each.instant - exposures.NOW) for each in stored(stream)}
    assert {number for number, at in put.items() if at < killed - 1.0} <= kept
    assert kept


def test_what_waits_is_bounded_in_bytes_and_makes_room_once_stored(stream):
    outcomes = Counter()
    writer = ExposureWriter(
        stream,
        capacity_bytes=1_000,
        pause_seconds=0.01,
        retry_seconds=0.05,
        on_outcome=lambda name, count: outcomes.update({name: count}),
    )
    busy = sqlite3.connect(stream.path, isolation_level=None)
    busy.execute("BEGIN IMMEDIATE")
    for n in range(30):
        writer.put(lambda n=n: exposures.exposure(n), size=300)
    assert (writer.waiting, outcomes["dropped"]) == (3, 27)
    assert "were dropped" in writer.trouble
    busy.execute("ROLLBACK")
    busy.close()

    def torn():
        raise ValueError("torn")

    wait_until(lambda: not writer.waiting)
    for _ in range(20):  # what cannot be made takes no room either
        writer.put(torn, size=900)
        wait_until(lambda: not writer.waiting)
    writer.put(lambda: exposures.exposure(31), size=5_000)  # larger than the bound, when nothing waits
    writer.close()
    assert outcomes == {"dropped": 27, "failed": 20, "stored": 4}


def test_an_answer_waits_with_the_bytes_of_its_request(make_world):
    world = make_world(body=1_000_000)
    sizes = []
    world.exposures.put = lambda make, *, size: sizes.append(size)
    world.post(PATH, {"userId": "ann", "excludeItemIds": ["x" * 200] * 1_000})
    world.post("/v1/rank", {"userId": "ann", "itemIds": ["x" * 200] * 1_000})
    world.call("GET", "/v1/items/i0/similar")
    assert [size > 200_000 for size in sizes] == [True, True, False]
    assert sizes[2] > 100
