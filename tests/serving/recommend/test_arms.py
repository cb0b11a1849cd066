"""Arms: each serves one whole version, swapped by itself, and a bad one never takes its place."""

import time

from tailorbird.errors import UsageError
from tailorbird.experiments.arm import CHAMPION_ARM, Arm, SlateSettings
from tailorbird.slate.query import Rules
from tests.serving.world import World
from tests.slate import toy

PATH = "/v1/recommendations"


def served(world):
    return world.post(PATH, {"userId": "ann", "numResults": 1}).json()["model"]["version"]


def test_a_moved_alias_is_followed(world):
    assert served(world) == "1"
    world.alias.point_at("2")
    world.served.check()
    assert served(world) == "2"
    assert world.swaps == [("swapped", "1"), ("swapped", "2")]


def test_the_watcher_follows_by_itself(world):
    world.served.start()
    world.alias.point_at("2")
    deadline = time.monotonic() + 10
    while served(world) != "2" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert served(world) == "2"


def test_a_damaged_bundle_leaves_the_old_version_serving(world):
    world.alias.point_at("2", folder="broken")
    world.served.check()
    assert served(world) == "1"
    health = world.call("GET", "/health/ready").json()
    assert health["status"] == "degraded"
    assert "version 2 is refused: bundle is damaged; publish it again" in health["problems"][0]
    world.alias.point_at("1")
    world.served.check()
    assert world.call("GET", "/health/ready").json()["status"] == "ready"


def test_a_refused_bundle_is_not_opened_again_at_every_poll(world):
    world.alias.point_at("2", folder="broken")
    for _ in range(3):
        world.served.check()
    assert world.swaps == [("swapped", "1"), ("refused", "1")]
    assert world.workspace.opened == ["1", "2"]


def test_a_bundle_that_fails_its_warm_up_is_refused(world):
    world.workspace.stages = toy.BrokenStages()
    world.alias.point_at("2")
    world.served.check()
    assert served(world) == "1"
    assert "index is broken" in world.served.troubles()[0]


def test_a_registry_that_is_away_changes_nothing(world):
    world.alias.away = True
    world.served.check()
    assert served(world) == "1"
    assert "registry is away" in world.call("GET", "/health/ready").json()["problems"][0]


def test_without_any_bundle_lists_answer(tmp_path):
    world = World(tmp_path)
    world.serve(world.workspace.without_model(""))
    world.alias.point_at("9", folder="broken")
    world.served.check()
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
    world.served.check()
    assert "user:real-visitor" in asked


CHALLENGER = Arm("challenger", "challenger")


def answer(world, user):
    return world.post(PATH, {"userId": user, "numResults": 3}).json()


def two_arms(world, *, version="2", arm=CHALLENGER):
    world.declared = [CHAMPION_ARM, arm]
    world.chosen = {"user:bea": arm.name}
    world.alias.point_at(version, alias=arm.alias)
    world.served.check()


def test_each_arm_answers_with_its_own_version_and_moves_by_itself(world):
    two_arms(world)
    asked = {user: answer(world, user) for user in ("ann", "bea")}
    assert {user: (each["arm"], each["model"]["version"]) for user, each in asked.items()} == {
        "ann": ("champion", "1"),
        "bea": ("challenger", "2"),
    }
    world.alias.point_at("3", alias="challenger")
    world.served.check()
    assert answer(world, "ann")["model"]["version"] == "1"
    assert answer(world, "bea")["model"]["version"] == "3"
    assert {each.properties["arm"] for each in world.slates()} == {"champion", "challenger"}


def test_arms_on_one_version_share_it_and_differ_in_their_slates(world):
    two_arms(world, arm=Arm("pots", "champion", SlateSettings(rules=Rules(("pots",)))))
    assert world.workspace.opened == ["1", "2"]
    assert [item["itemId"] for item in answer(world, "bea")["items"]] == ["i8", "i9", "i10"]
    assert [item["itemId"] for item in answer(world, "ann")["items"]] == ["i0", "i1", "i2"]


def test_changed_settings_hold_at_the_next_look(world):
    two_arms(world, arm=Arm("pots", "champion"))
    world.declared = [CHAMPION_ARM, Arm("pots", "champion", SlateSettings(rules=Rules(("pots",))))]
    world.served.check()
    assert [item["itemId"] for item in answer(world, "bea")["items"]] == ["i8", "i9", "i10"]


def test_an_arm_without_a_version_is_the_champions_and_says_so(world):
    world.declared = [CHAMPION_ARM, CHALLENGER]
    world.chosen = {"user:bea": "challenger"}
    world.served.check()
    found = answer(world, "bea")
    assert (found["arm"], found["model"]["version"], found["fallback"]) == ("challenger", "1", "champion")
    health = world.call("GET", "/health/ready").json()
    assert health["problems"] == ["arm challenger: no version has the alias challenger yet"]
    assert health["arms"][1] == {"name": "challenger", "alias": "challenger", "version": ""}
    assert world.slates()[0].properties["fallback"] == "champion"


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
    world.declared = [CHAMPION_ARM]
    world.served.check()
    assert answer(world, "bea")["fallback"] == "champion"
    assert [each.arm.name for each in world.served.standings()] == ["champion"]


def test_a_slip_in_the_declaration_leaves_the_arms_of_before(world):
    two_arms(world)

    def slip():
        raise UsageError("arms.toml: b.depht", remedy="see docs/arms.md")

    world.served._declared = slip
    world.served.check()
    assert answer(world, "bea")["model"]["version"] == "2"
    assert "b.depht" in world.call("GET", "/health/ready").json()["problems"][0]


def test_what_does_not_fit_the_memory_is_refused_and_the_champion_never(tmp_path):
    world = World(tmp_path, budget=15)
    two_arms(world)
    assert answer(world, "bea")["fallback"] == "champion"
    assert "version 2 does not fit" in world.served.troubles()[0]
    world.alias.point_at("1", alias="challenger")
    world.served.check()  # shared with the champion: it takes no room of its own
    assert answer(world, "bea")["fallback"] == "cold_start"
    world.close()
    world = World(tmp_path / "tight", budget=5)
    assert served(world) == "1"
    world.close()


def test_a_champion_that_grows_sends_others_away_before_it_is_opened(tmp_path):
    world = World(tmp_path, budget=20)
    two_arms(world)
    assert answer(world, "bea")["model"]["version"] == "2"
    held = []
    world.workspace.on_open = lambda version: held.append([s.version for s in world.served.standings()])
    world.workspace.sizes["3"] = 15
    world.alias.point_at("3")
    world.served.check()
    assert held == [["1", ""]]
    assert [s.version for s in world.served.standings()] == ["3", ""]
    world.close()


def test_a_damaged_challenger_costs_the_champion_nothing(world):
    two_arms(world)
    world.alias.point_at("3", folder="broken", alias="challenger")
    world.alias.point_at("4")
    world.served.check()
    assert answer(world, "ann")["model"]["version"] == "4"
    assert answer(world, "bea")["model"]["version"] == "2"
    assert "arm challenger: version 3 is refused" in world.served.troubles()[0]


def test_a_notice_is_followed_before_the_next_poll(tmp_path):
    world = World(tmp_path, poll_seconds=3600)
    world.served.start()
    world.alias.point_at("2")
    world.notices += 1
    deadline = time.monotonic() + 10
    while served(world) != "2" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert served(world) == "2"
    world.close()
