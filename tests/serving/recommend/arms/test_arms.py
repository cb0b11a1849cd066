"""Arms: each serves one whole version, swapped by itself, and a bad one never takes its place."""

import shutil
import time
from dataclasses import replace
from typing import ClassVar

import pytest

from registry.following.follower import Follower
from tailorbird.bundle import open_bundle
from tailorbird.errors import UsageError
from tailorbird.experiments.arm import Arm, SlateSettings
from tailorbird.models.hybrid.stages import HybridStages
from tailorbird.slate.query import Rules
from tests.serving.world import PLAIN, WHOLE, flip_a_bit
from tests.slate import toy

PATH = "/v1/recommendations"


def served(world):
    return world.post(PATH, {"userId": "ann", "numResults": 1}).json()["model"]["version"]


def test_a_moved_alias_is_followed(world):
    assert served(world) == "1"
    world.point("2")
    world.check()
    assert served(world) == "2"
    assert world.swaps == [("swapped", "1"), ("swapped", "2")]


def test_the_watcher_follows_by_itself(world):
    world.served.start()
    world.point("2")
    deadline = time.monotonic() + 10
    while served(world) != "2" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert served(world) == "2"


def test_a_damaged_bundle_leaves_the_old_version_serving(world):
    bad = world.register(damaged=True)
    world.point(bad)
    world.check()
    assert served(world) == "1"
    health = world.call("GET", "/health/ready").json()
    assert health["status"] == "degraded"
    assert f"version {bad} is refused: bundle is damaged" in health["problems"][0]
    assert "publish the bundle again" in health["problems"][0]
    world.point("1")
    world.check()
    assert world.call("GET", "/health/ready").json()["status"] == "ready"


def test_a_bundle_damaged_while_it_is_loaded_is_refused(world, monkeypatch):
    def damaging(folder):
        opened = open_bundle(folder)
        flip_a_bit(next(folder.rglob("*.safetensors")))
        return opened

    mine = world.register(padding=1)
    monkeypatch.setattr("serving.recommend.arms.builder.open_bundle", damaging)
    world.point(mine)
    world.check()
    assert served(world) == "1"
    assert f"version {mine} is refused: bundle is damaged" in world.served.troubles()[0]


def test_a_refused_bundle_is_not_opened_again_at_every_poll(world):
    bad = world.register(damaged=True)
    world.point(bad)
    for _ in range(3):
        world.check()
    assert world.swaps == [("swapped", "1"), ("refused", "1")]
    assert world.builder.opened == ["1", bad]


def test_a_bundle_that_fails_its_warm_up_is_refused(world):
    world.builder.change = lambda recommender: replace(recommender, stages=toy.BrokenStages())
    world.point("2")
    world.check()
    assert served(world) == "1"
    assert "index is broken" in world.served.troubles()[0]


def test_a_registry_that_is_away_changes_nothing(world):
    world.point("2")
    with world.away(world.settings.mlruns / "mlflow.db"):
        world.check()
        assert served(world) == "1"
        assert "registry is away" in world.call("GET", "/health/ready").json()["problems"][0]
    world.check()
    assert served(world) == "2"


def test_a_version_that_is_deleted_while_it_serves_goes_on_serving(world):
    mine = world.register(padding=1)
    world.point(mine)
    world.check()
    folder = Follower(world.settings).fetch("champion", mine).folder
    world.registry.client.delete_model_version(world.registry.name, mine)
    shutil.rmtree(folder)
    world.check()
    assert served(world) == mine
    assert "no version has the alias champion" in world.served.troubles()[0]


@pytest.mark.parametrize("files", [True, False])
def test_an_alias_at_a_version_that_is_being_deleted_is_refused(world, monkeypatch, files):
    mine = world.register(padding=1)
    follower = Follower(world.settings)
    world.point(mine)
    looked = follower.look

    def delete_after(aliases):
        found = looked(aliases)
        if files:
            shutil.rmtree(follower.fetch("champion", mine).folder)
        else:
            world.registry.client.delete_model_version(world.registry.name, mine)
        return found

    monkeypatch.setattr(follower, "look", delete_after)
    monkeypatch.setattr(world.served, "_follower", follower)
    world.check()
    assert served(world) == "1"
    assert f"version {mine} is refused" in world.served.troubles()[0]


def test_without_any_bundle_lists_answer(world):
    world.serve(world.builder.without_model(""))
    world.point(world.register(damaged=True))
    world.check()
    answer = world.post(PATH, {"userId": "ann", "numResults": 2}).json()
    assert [item["itemId"] for item in answer["items"]] == ["i0", "i1"]
    assert answer["fallback"] == "popularity"
    assert answer["model"]["version"] == ""


class WatchingStages(HybridStages):
    """The real stages, which note whom they were asked for."""

    asked: ClassVar[list[str]] = []
    calls: ClassVar[list[int]] = []

    def retrieve(self, queries, *, depths, allowed):
        self.calls.append(len(queries))
        self.asked.extend(query.state.user_key for query in queries)
        return super().retrieve(queries, depths=depths, allowed=allowed)


def watching(recommender):
    WatchingStages.asked.clear()
    return replace(recommender, stages=WatchingStages(recommender.stages.model))


def test_new_versions_are_warmed_with_real_requests(world):
    world.post(PATH, {"userId": "real-visitor"})
    world.builder.change = watching
    world.point("2")
    world.check()
    assert world.key("user:real-visitor") in WatchingStages.asked


CHALLENGER = Arm("challenger", "challenger")


def answer(world, user):
    return world.post(PATH, {"userId": user, "numResults": 3}).json()


def two_arms(world, *, version="2", arm=CHALLENGER):
    world.declared = [PLAIN, arm]
    world.chosen = {"user:bea": arm.name}
    world.point(version, arm.alias)
    world.check()


def test_each_arm_answers_with_its_own_version_and_moves_by_itself(world):
    two_arms(world)
    asked = {user: answer(world, user) for user in ("ann", "bea")}
    assert {user: (each["arm"], each["model"]["version"]) for user, each in asked.items()} == {
        "ann": ("champion", "1"),
        "bea": ("challenger", "2"),
    }
    world.point("3", "challenger")
    world.check()
    assert answer(world, "ann")["model"]["version"] == "1"
    assert answer(world, "bea")["model"]["version"] == "3"
    assert {each.arm for each in world.stored()} == {"champion", "challenger"}


def test_arms_on_one_version_share_it_and_differ_in_their_slates(world):
    two_arms(
        world, arm=Arm("pots", "champion", SlateSettings(max_category_share=1.0, rules=Rules(("pots",))))
    )
    assert world.builder.opened == ["1", "2"]
    assert [item["itemId"] for item in answer(world, "bea")["items"]] == ["i8", "i9", "i10"]
    assert [item["itemId"] for item in answer(world, "ann")["items"]] == ["i0", "i1", "i2"]


def test_changed_settings_hold_at_the_next_look(world):
    two_arms(world, arm=Arm("pots", "champion"))
    world.declared = [
        PLAIN,
        Arm("pots", "champion", SlateSettings(max_category_share=1.0, rules=Rules(("pots",)))),
    ]
    world.check()
    assert [item["itemId"] for item in answer(world, "bea")["items"]] == ["i8", "i9", "i10"]


def test_an_arm_without_a_version_is_the_champions_and_says_so(world):
    world.declared = [PLAIN, CHALLENGER]
    world.chosen = {"user:bea": "challenger"}
    world.check()
    found = answer(world, "bea")
    assert (found["arm"], found["model"]["version"], found["fallback"]) == ("challenger", "1", "champion")
    health = world.call("GET", "/health/ready").json()
    assert health["problems"] == ["arm challenger: no version has the alias challenger yet"]
    assert health["arms"][1] == {"name": "challenger", "alias": "challenger", "version": ""}
    assert world.stored()[0].fallback == "champion"


def test_an_arm_whose_model_fails_is_the_champions_for_that_request(world):
    two_arms(world)
    world.serve(toy.recommender(toy.BrokenStages(), version="2"), arm=CHALLENGER)
    found = answer(world, "bea")
    assert (found["arm"], found["model"]["version"], found["fallback"]) == ("challenger", "1", "champion")
    assert (
        'tailorbird_arm_fallbacks_total{arm="challenger",reason="failed"}'
        in world.call("GET", "/metrics").text
    )


def test_an_arm_that_is_not_declared_any_more_is_the_champions(world):
    two_arms(world)
    world.declared = [PLAIN]
    world.check()
    assert answer(world, "bea")["fallback"] == "champion"
    assert [each.arm.name for each in world.served.standings()] == ["champion"]


def test_a_slip_in_the_declaration_leaves_the_arms_of_before(world):
    two_arms(world)

    def slip():
        raise UsageError("arms.toml: b.depht", remedy="see docs/arms.md")

    world.served._declared = slip
    world.check()
    assert answer(world, "bea")["model"]["version"] == "2"
    assert "b.depht" in world.call("GET", "/health/ready").json()["problems"][0]


def test_what_does_not_fit_the_memory_is_refused_and_the_champion_never(make_world):
    world = make_world(budget=WHOLE + WHOLE // 2)
    two_arms(world)
    assert answer(world, "bea")["fallback"] == "champion"
    assert "version 2 does not fit" in world.served.troubles()[0]
    world.point("1", "challenger")
    world.check()  # shared with the champion: it takes no room of its own
    assert answer(world, "bea")["fallback"] == "cold_start"
    assert served(make_world(budget=WHOLE // 2)) == "1"


def test_a_champion_that_grows_sends_others_away_before_it_is_opened(make_world):
    world = make_world(budget=3 * WHOLE)
    two_arms(world)
    assert answer(world, "bea")["model"]["version"] == "2"
    big, held = world.register(padding=2 * WHOLE), []
    world.builder.on_open = lambda version: held.append([each.version for each in world.served.standings()])
    world.point(big)
    world.check()
    assert held == [["1", ""]]
    assert [each.version for each in world.served.standings()] == [big, ""]


def test_a_damaged_challenger_costs_the_champion_nothing(world):
    two_arms(world)
    bad = world.register(damaged=True)
    world.point(bad, "challenger")
    world.point("4")
    world.check()
    assert answer(world, "ann")["model"]["version"] == "4"
    assert answer(world, "bea")["model"]["version"] == "2"
    assert f"arm challenger: version {bad} is refused" in world.served.troubles()[0]


def test_a_notice_is_followed_before_the_next_poll(make_world):
    world = make_world(poll_seconds=3600)
    world.served.start()
    world.point("2")
    world.notices += 1
    deadline = time.monotonic() + 10
    while served(world) != "2" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert served(world) == "2"
