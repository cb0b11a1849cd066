"""The collect application: durable, once, folded before the 202, and one bad event costs the others nothing."""

import asyncio
import datetime as dt
import time

import pytest

from feature_repo.layout import online_file
from serving.http.schemas import Collected
from tests.slate import toy

PATH = "/v1/events"


def view(message, item="i0", **more):
    return {"messageId": message, "type": "view", "userId": "ann", "itemId": item, **more}


def test_an_accepted_event_is_on_disk_and_in_the_profile(world):
    response = world.post(PATH, {"batch": [view("m1", timestamp="2023-11-14T22:00:00Z", value=2.5)]})
    assert response.status_code == 202
    assert Collected.model_validate(response.json()).accepted == 1
    event = world.log.read(world.before).entries[0].record
    assert (event.message_id, event.item_id, event.value) == (world.door.names.message("m1"), "i0", 2.5)
    assert event.event_time == dt.datetime(2023, 11, 14, 22, tzinfo=dt.UTC).timestamp()
    assert world.profile("user:ann").total == 1


def test_the_next_request_reflects_the_event(world):
    first = world.post("/v1/recommendations", {"userId": "ann", "numResults": 1}).json()
    assert first["items"][0]["itemId"] == "i0"
    world.post(PATH, {"batch": [view("m1")]})
    second = world.post("/v1/recommendations", {"userId": "ann", "numResults": 1}).json()
    assert second["items"][0]["itemId"] == "i1"
    assert second["fallback"] is None


def test_a_message_is_accepted_once(world):
    first = world.post(PATH, {"batch": [view("m1"), view("m1"), view("m2")]}).json()
    second = world.post(PATH, {"batch": [view("m1"), view("m3")]}).json()
    assert (first["accepted"], first["duplicates"]) == (2, 1)
    assert (second["accepted"], second["duplicates"]) == (1, 1)
    assert world.profile("user:ann").total == 3


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ("no object", "no JSON object"),
        ({"type": "view", "userId": "ann"}, "/messageId"),
        (view("m", userId=None), "missing userId and anonymousId"),
        ({**view("m"), "type": "VIEW"}, '"VIEW"'),
        (view("m", timestamp="2999-01-01T00:00:00Z"), "future"),
        (view("m", timestamp="1066-10-14T00:00:00Z"), "before 1990"),
        (view("m", timestamp="0001-01-01T00:00:00+23:59"), "/timestamp"),
        (view("m", item=None), "/itemId: missing itemId"),
        (view("m", timestamp="yesterday"), "yesterday"),
        (view("m", value="much"), "/value"),
        (view("m", value=10**400), "/value"),
        ({**view("m"), "type": "hide\n"}, "bad type"),
        (view("m", position=-1), "/position"),
        (view("m", position=2**40), "/position"),
        (view("m", properties={"n": 2**80}), "/properties"),
        (view("m", colour="red"), "/colour"),
    ],
)
def test_a_bad_event_is_rejected_with_its_reason_and_the_others_stored(world, event, words):
    answer = world.post(PATH, {"batch": [view("good"), event, view("fine")]}).json()
    assert answer["accepted"] == 2
    (rejected,) = answer["rejected"]
    assert rejected["index"] == 1
    assert words in rejected["reason"]


def test_a_senders_wrong_clock_is_set_right(world):
    behind = {"sentAt": "2020-01-01T00:10:00Z", "batch": [view("m1", timestamp="2020-01-01T00:00:00Z")]}
    assert world.post(PATH, behind).json()["accepted"] == 1
    event = world.log.read(world.before).entries[0].record
    assert event.received_time - event.event_time == pytest.approx(600.0, abs=1e-3)


def test_the_way_of_a_batch_is_not_taken_for_a_wrong_clock(world):
    """Each batch takes another while: moved by it, what happened close together would change places."""
    for message, second, way in (("m1", 10, 1.5), ("m2", 11, 0.1)):
        at = dt.datetime.fromtimestamp(toy.NOW - second / 1000, dt.UTC).isoformat()
        sent = dt.datetime.fromtimestamp(toy.NOW - way, dt.UTC).isoformat()
        world.post(PATH, {"sentAt": sent, "batch": [view(message, timestamp=at)]})
    first, second = (entry.record.event_time for entry in world.log.read(world.before).entries)
    assert first - second == pytest.approx(0.001, abs=1e-5)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b'{"batch": []}', 422),
        (b'{"batch": {}}', 422),
        (b"{}", 422),
        (b"[]", 422),
        (b'{"batch": [{"messageId": "m", "type": "view", "context": {"x": -Infinity}}]}', 400),
        (b"x" * 20_000, 413),
    ],
)
def test_a_bad_batch_is_a_4xx(world, body, status):
    assert world.call("POST", PATH, content=body).status_code == status


def test_an_unknown_item_is_stored_with_a_warning(world):
    answer = world.post(PATH, {"batch": [view("m1", item="new-today")]}).json()
    assert answer["accepted"] == 1
    assert "new-today" in answer["warnings"][0]["reason"]


def test_events_survive_an_absent_feature_store_and_reach_the_profile_later(world):
    with world.away(online_file(world.settings.feature_folder)):
        answer = world.post(PATH, {"batch": [view("m1")]}).json()
        assert answer["accepted"] == 1
        assert answer["profileDelayed"]
    deadline = time.monotonic() + 60
    while not world.profile("user:ann").total and time.monotonic() < deadline:
        time.sleep(0.01)
    assert world.profile("user:ann").total == 1


def test_a_log_that_cannot_write_says_so_and_loses_nothing(world):
    world.log.close()
    response = world.post(PATH, {"batch": [view("m1")]})
    assert response.status_code == 503
    assert "this batch was not stored whole" in response.json()["detail"]


def test_nothing_is_acknowledged_that_goes_into_a_deleted_log(world):
    """Open, the file takes events for ever, and nobody will ever read them."""
    world.log.path.unlink()
    response = world.post(PATH, {"batch": [view("m1")]})
    assert response.status_code == 503
    assert "deleted or replaced" in response.json()["detail"]
    for path in ("/v1/events/health", "/health/ready"):
        health = world.call("GET", path).json()
        assert health["status"] == "degraded"
        assert "deleted or replaced" in str(health["problems"])


def test_many_callers_at_once_are_counted_each_by_itself(world):
    async def everyone():
        async with world.client() as client:
            return await asyncio.gather(
                *[
                    client.post(PATH, json={"batch": [view(f"own-{n}"), view("shared"), view(f"own-{n}")]})
                    for n in range(20)
                ]
            )

    answers = [response.json() for response in asyncio.run(everyone())]
    assert all(answer["accepted"] + answer["duplicates"] == 3 for answer in answers)
    assert sum(answer["accepted"] for answer in answers) == 21
    assert world.log.end()[0] == world.before[0] + 21
    assert world.profile("user:ann").total == 21


def test_times_ahead_of_ours_by_a_little_count_as_now(world):
    ahead = dt.datetime.fromtimestamp(toy.NOW + 60, dt.UTC).isoformat()
    world.post(PATH, {"batch": [view("m1", timestamp=ahead)]})
    assert world.log.read(world.before).entries[0].record.event_time == toy.NOW


@pytest.mark.parametrize("value", [10**12, 2**63, 10**20, -(2**64)])
def test_a_number_as_large_as_a_cards_is_no_value(world, value):
    answer = world.post(PATH, {"batch": [view("good"), {**view("large"), "value": value}]}).json()
    assert answer["accepted"] == 1
    assert answer["rejected"] == [{"index": 1, "reason": "/value: bad value, got a long number"}]


@pytest.mark.parametrize("value", [2**33, 10**12 - 1, -(2**32)])
def test_a_whole_number_is_stored_as_a_float(world, value):
    answer = world.post(PATH, {"batch": [view("good"), {**view("large"), "value": value}]})
    assert (answer.status_code, answer.json()["accepted"], answer.json()["rejected"]) == (202, 2, [])
    *_, stored = (entry.record.value for entry in world.log.read(world.before).entries)
    assert (type(stored), stored) == (float, float(value))
