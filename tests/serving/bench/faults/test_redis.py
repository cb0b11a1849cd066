"""Both applications over live profiles in Redis: emptied, full or away, every request is answered and says what it lacks."""

import time

import pytest

from feature_repo.command import build_features
from tests.redis_server import RedisServer
from tests.serving.world import World

ASK = {"userId": "ann", "numResults": 3}


def events(*numbers: int) -> dict[str, object]:
    return {
        "batch": [{"messageId": f"r{n}", "type": "view", "userId": "ann", "itemId": f"i{n}"} for n in numbers]
    }


@pytest.fixture
def world(make_world, redis_server: RedisServer) -> World:  # type: ignore[no-untyped-def]
    def in_redis(settings):  # type: ignore[no-untyped-def]
        moved = settings.model_copy(update={"online": redis_server.url})
        build_features(moved)
        return moved

    world: World = make_world(change=in_redis)
    assert world.post("/v1/events", events(1)).json()["profileDelayed"] is False
    assert not world.post("/v1/recommendations", ASK).json()["partial"]
    return world


def wait_until_whole(world: World) -> dict:  # type: ignore[type-arg]
    deadline = time.monotonic() + 30
    while True:
        world.clock += 2  # the pause after a failure is over
        answer: dict = world.post("/v1/recommendations", ASK).json()  # type: ignore[type-arg]
        health = world.call("GET", "/v1/events/health").json()
        if (not answer["partial"] and health["status"] == "ready") or time.monotonic() > deadline:
            return answer
        time.sleep(0.05)


def test_an_emptied_redis_is_marked_and_filled_again(world: World, redis_server: RedisServer) -> None:
    redis_server.command("FLUSHALL")
    answer = world.post("/v1/recommendations", ASK)
    assert answer.status_code == 200
    assert (answer.json()["partial"], len(answer.json()["items"])) == (True, 3)
    assert not wait_until_whole(world)["partial"]
    assert world.profile("user:ann").total == 1
    sent = world.post("/v1/events", events(2))
    assert (sent.status_code, sent.json()["profileDelayed"]) == (202, False)
    assert world.profile("user:ann").total == 2


def test_a_full_redis_keeps_answering_takes_events_and_health_says_so(
    world: World, redis_server: RedisServer
) -> None:
    redis_server.command("CONFIG", "SET", "maxmemory", "1mb")
    sent = world.post("/v1/events", events(3))
    assert (sent.status_code, sent.json()["accepted"], sent.json()["profileDelayed"]) == (202, 1, True)
    assert not world.post("/v1/recommendations", ASK).json()["partial"]
    (problem,) = world.call("GET", "/v1/events/health").json()["problems"]
    assert "raise its maxmemory" in problem
    redis_server.command("CONFIG", "SET", "maxmemory", "0")
    wait_until_whole(world)
    assert world.profile("user:ann").total == 2


def test_a_redis_that_is_away_is_marked_and_profiles_follow(world: World, redis_server: RedisServer) -> None:
    redis_server.kill()
    assert world.post("/v1/recommendations", ASK).json()["partial"]
    assert "start it" in " ".join(world.call("GET", "/health/ready").json()["problems"])
    assert world.post("/v1/events", events(4)).status_code == 202
    redis_server.start()
    wait_until_whole(world)
    assert world.profile("user:ann").total == 2
