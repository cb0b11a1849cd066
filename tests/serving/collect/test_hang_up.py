"""Whatever a caller does, those who come after it are answered: who hangs up, sends too slowly, or loses the writer."""

import asyncio
import sqlite3

import httpx
import pytest

from tailorbird.streams.stream import StreamAwayError

PATH = "/v1/events"


def body(message):
    return {"batch": [{"messageId": message, "type": "view", "userId": "ann", "itemId": "i0"}]}


def test_a_hundred_callers_that_hang_up_leave_the_next_one_served_and_lose_nothing(world):
    async def story():
        async with world.client() as client:
            busy = sqlite3.connect(world.log.path, isolation_level=None)
            busy.execute(
                "BEGIN IMMEDIATE"
            )  # their events are with the writer, not yet stored, when they leave
            callers = [asyncio.ensure_future(client.post(PATH, json=body(f"m{n}"))) for n in range(100)]
            await asyncio.sleep(0.2)
            for caller in callers:
                caller.cancel()
            assert all(isinstance(each, asyncio.CancelledError) for each in await gathered(callers))
            busy.execute("ROLLBACK")
            busy.close()
            return await asyncio.wait_for(client.post(PATH, json=body("after")), 30)

    async def gathered(callers):
        return await asyncio.gather(*callers, return_exceptions=True)

    answer = asyncio.run(story())
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
    assert {entry.record.message_id for entry in world.log.read(world.before).entries} == {
        world.door.names.message(each) for each in ("after", *(f"m{n}" for n in range(100)))
    }
    assert world.call("GET", f"{PATH}/health").json()["status"] == "ready"


def test_a_caller_that_sends_one_byte_at_a_time_is_let_go(world):
    async def drips():
        while True:
            yield b"["
            await asyncio.sleep(0.05)

    answer = world.call("POST", PATH, content=drips())
    assert answer.status_code == 408
    assert answer.json()["type"].endswith("body-too-slow")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_replica_whose_writer_died_says_so_and_takes_nothing(world, monkeypatch):
    def die(*arguments):
        raise SystemExit

    monkeypatch.setattr(world.writer, "_commit", die)
    lost = world.post(PATH, body("m1"))
    assert lost.status_code == 500  # it may not wait for ever
    world.writer.thread.join(10)
    health = world.call("GET", f"{PATH}/health")
    assert health.status_code == 503
    assert "group-writer has died" in health.json()["problems"][0]
    assert world.post(PATH, body("m2")).status_code == 503


def test_one_locked_log_is_one_wait_for_all_its_callers(world):
    async def story():
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=world.front), base_url="http://toy", timeout=60
        ) as client:
            return await asyncio.gather(*[client.post(PATH, json=body(f"m{n}")) for n in range(8)])

    calls = []
    real = world.log.append

    def locked(events):
        calls.append(len(events))
        raise StreamAwayError("database is locked")

    world.log.append = locked
    answers = asyncio.run(story())
    world.log.append = real
    assert {answer.status_code for answer in answers} == {503}
    assert 1 <= sum(calls) <= 8  # no event was tried a second time, one by one
