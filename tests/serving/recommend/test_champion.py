"""The alias watcher: what serves is one whole version, and a bad one never takes its place."""

import time

from tests.serving.world import World
from tests.slate import toy

PATH = "/v1/recommendations"


def served(world):
    return world.post(PATH, {"userId": "ann", "numResults": 1}).json()["model"]["version"]


def test_a_moved_alias_is_followed(world):
    assert served(world) == "1"
    world.alias.point_at("2")
    world.champion.check()
    assert served(world) == "2"
    assert world.swaps == [("swapped", "1"), ("swapped", "2")]


def test_the_watcher_follows_by_itself(world):
    world.champion.start()
    world.alias.point_at("2")
    deadline = time.monotonic() + 10
    while served(world) != "2" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert served(world) == "2"


def test_a_damaged_bundle_leaves_the_old_version_serving(world):
    world.alias.point_at("2", folder="broken")
    world.champion.check()
    assert served(world) == "1"
    health = world.call("GET", "/health/ready").json()
    assert health["status"] == "degraded"
    assert "version 2 is refused: bundle is damaged; publish it again" in health["problems"][0]
    world.alias.point_at("1")
    world.champion.check()
    assert world.call("GET", "/health/ready").json()["status"] == "ready"


def test_a_refused_bundle_is_not_opened_again_at_every_poll(world):
    world.alias.point_at("2", folder="broken")
    for _ in range(3):
        world.champion.check()
    assert world.swaps == [("swapped", "1"), ("refused", "2")]


def test_a_bundle_that_fails_its_warm_up_is_refused(world):
    world.workspace.stages = toy.BrokenStages()
    world.alias.point_at("2")
    world.champion.check()
    assert served(world) == "1"
    assert "index is broken" in world.champion.trouble


def test_a_registry_that_is_away_changes_nothing(world):
    world.alias.away = True
    world.champion.check()
    assert served(world) == "1"
    assert "registry is away" in world.call("GET", "/health/ready").json()["problems"][0]


def test_without_any_bundle_lists_answer(tmp_path):
    world = World(tmp_path)
    world.champion.current = world.workspace.without_model("")
    world.alias.point_at("1", folder="broken")
    world.champion.check()
    answer = world.post(PATH, {"userId": "ann", "numResults": 2}).json()
    assert [item["itemId"] for item in answer["items"]] == ["i7", "i5"]
    assert answer["fallback"] == "popularity"
    assert answer["model"]["version"] == ""
    world.close()


def test_new_versions_are_warmed_with_real_requests(world):
    asked = []

    class Watching(toy.RowStages):
        def retrieve_one(self, query, *more):
            asked.append(query.state.user_key)
            return super().retrieve_one(query, *more)

    world.post(PATH, {"userId": "real-visitor"})
    world.workspace.stages = Watching()
    world.alias.point_at("2")
    world.champion.check()
    assert "user:real-visitor" in asked
