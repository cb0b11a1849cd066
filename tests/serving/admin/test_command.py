"""promote and rollback where a platform serves: through its admin, until its replicas follow; alone where none answers."""

import json
import os
import time
from dataclasses import dataclass

import pytest
from click.testing import CliRunner, Result

from feature_repo.portraits import Portraits
from serving.admin.catalogue.goods import Goods
from serving.admin.guard import LoopbackGuard
from serving.admin.listener import Listener, free_port
from serving.admin.models.moves import Moves
from serving.admin.models.reach import RegistryReach
from serving.admin.pages import Desk, build_admin
from serving.heartbeat import Heartbeat, beats_folder, live_beats
from serving.notice import Notice
from serving.privacy.erasures import open_erasing
from serving.recommend.arms.served import beats_of
from serving.segments.live import LiveSegments
from tailorbird.cli import tailorbird
from tests.serving.world import World
from tests.serving.wrong_keys import put_keys


@dataclass
class Served:
    """The toy shop as a platform: one replica that waits for notices, its heartbeat and a real admin port."""

    world: World
    listener: Listener

    def run(self, *argv: str, key: str = "") -> Result:
        settings = self.world.settings
        environment = {
            "TAILORBIRD_HOME": str(settings.home),
            "TAILORBIRD_MLRUNS": str(settings.mlruns),
            "TAILORBIRD_WORKSPACE": settings.workspace,
            "TAILORBIRD_API_KEY": key,
        }
        return CliRunner().invoke(tailorbird, [*argv, "--json"], env=environment)

    def promote(self, version: str, *more: str) -> Result:
        return self.run("promote", "--version", version, *more)


FORCED = ("--force", "--reason", "a drill")


@pytest.fixture
def platform(make_world, tmp_path):
    notice = Notice(tmp_path)
    world = make_world(poll_seconds=3600.0, noticed=notice.stamp)
    beats = beats_folder(tmp_path)
    heartbeat = Heartbeat(beats, arms=lambda: beats_of(world.served.standings()), exposures=dict)
    world.served._on_change = lambda standings: heartbeat.now()
    reach = RegistryReach(world.settings)
    desk = Desk(
        world.settings,
        registry=reach,
        moves=Moves(reach, notice=notice),
        beats=lambda: live_beats(beats, now=time.time()),
        goods=Goods(world.settings, door=world.door),
        portraits=Portraits(world.settings),
        segments=LiveSegments(world.settings),
        rules=world.rules,
        erasing=open_erasing(world.settings),
        door=world.door,
    )
    port = free_port(0)
    listener = Listener(
        LoopbackGuard(build_admin(desk), access=world.access, max_body_bytes=10_000), port=port
    )
    listener.wait()
    heartbeat.start()
    world.served.start()
    record = {"pid": os.getpid(), "folder": str(tmp_path), "admin": f"http://127.0.0.1:{port}"}
    (world.settings.folder / "serving.json").write_text(json.dumps(record))
    yield Served(world, listener)
    heartbeat.close()
    listener.close()


def test_a_promotion_ends_once_every_replica_follows(platform):
    done = platform.promote("2", *FORCED)
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert (result["version"], result["before"], result["promoted"], result["forced"]) == (2, 1, True, True)
    assert result["followers"] == "1 of 1"
    assert [(each["arm"], each["version"]) for each in result["replicas"]] == [("champion", "2")]
    assert platform.world.served.champion.version == "2"
    back = json.loads(platform.run("rollback").stdout)
    assert (back["version"], back["before"], back["followers"]) == (1, 2, "1 of 1")
    assert platform.world.served.champion.version == "1"


def test_where_the_workspace_has_keys_a_promotion_needs_one(platform):
    world = platform.world
    keys = put_keys(world.settings, world.access)
    for key in ("", keys.good["catalog"], keys.wrong["expired"]):
        refused = platform.run("promote", "--version", "2", *FORCED, key=key)
        assert refused.exit_code == 1, refused.output
        assert world.served.champion.version == "1"
    assert "TAILORBIRD_API_KEY" in platform.run("promote", "--version", "2", *FORCED).exception.remedy
    done = platform.run("promote", "--version", "2", *FORCED, key=keys.good["admin"])
    assert done.exit_code == 0, done.output
    assert world.served.champion.version == "2"


def test_what_the_platforms_gates_refuse_ends_with_3_and_moves_nothing(platform):
    refused = platform.promote("2")
    assert refused.exception.exit_code == 3
    assert "not promoted to champion" in refused.exception.what
    assert "--force --reason TEXT overrides" in refused.exception.remedy
    assert "not worse" in refused.stderr
    assert platform.world.served.champion.version == "1"


def test_whoever_was_overtaken_ends_with_4(platform):
    overtaken = platform.promote("2", *FORCED, "--expected", "3")
    assert overtaken.exception.exit_code == 4
    assert platform.world.served.champion.version == "1"


def test_an_unknown_version_is_said_plainly(platform):
    missing = platform.promote("77", *FORCED)
    assert missing.exception.exit_code == 1
    assert "'77'" in missing.exception.what


def test_a_replica_that_does_not_follow_is_named_with_its_reason(platform):
    def fail(recommender):
        raise RuntimeError("no memory left")

    platform.world.builder.change = fail
    stuck = platform.promote("2", *FORCED)
    assert json.loads(stuck.stdout)["followers"] == "0 of 1"
    assert stuck.exception.exit_code == 1
    assert "no memory left" in stuck.exception.what


def test_an_alias_that_no_arm_follows_moves_all_the_same(platform):
    done = platform.promote("2", *FORCED, "--alias", "shadow")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["followers"] == "0 of 0"
    assert "no replica serves an arm of shadow" in done.stderr


def test_where_admin_stays_silent_the_command_works_alone(platform, monkeypatch):
    monkeypatch.setattr("registry.platform.FIND_SECONDS", 0.2)
    platform.listener.close()
    done = platform.promote("2", *FORCED)
    assert done.exit_code == 0, done.output
    assert "followers" not in json.loads(done.stdout)
    assert "does not answer" in done.stderr
    platform.world.check()
    assert platform.world.served.champion.version == "2"


def test_what_a_killed_platform_left_behind_is_no_platform(platform):
    record = platform.world.settings.folder / "serving.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "pid": 2**22 + 1}))
    done = platform.promote("2", *FORCED)
    assert done.exit_code == 0, done.output
    assert "followers" not in json.loads(done.stdout)
