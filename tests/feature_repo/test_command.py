"""The features command: builds once, heals what is missing, keeps stdout for the result."""

import fcntl
import json
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from feature_repo.command import build_features, features
from feature_repo.store import FeatureStoreRoom
from feature_repo.updater.updater import ProfileUpdater
from tailorbird.catalog.catalog import Catalog
from tailorbird.errors import TailorbirdError
from tailorbird.events.schema import Event
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_events
from tailorbird.streams.position import Position

Shop = tuple[Catalog, list[Event]]


@pytest.fixture
def workspace(settings: Settings, shop: Shop) -> Settings:
    """The shop ingested: catalogue and log."""
    shop[0].write(settings.catalog_folder)
    with open_events(settings) as log:
        log.append(shop[1])
    return settings


def test_it_brings_profiles_up_to_date_and_then_has_nothing_to_do(workspace: Settings, shop: Shop) -> None:
    first = build_features(workspace)
    assert (first["events"], first["position"], first["skipped"]) == (2_500, {"0": 2_500}, False)
    users = sorted({event.user_key for event in shop[1]})
    assert (first["applied"], first["offline_rows"]) == (2_500, 0)
    assert sum(s.total for s in FeatureStoreRoom(workspace).online_read(users)) == 2_500
    assert build_features(workspace)["skipped"] is True
    assert build_features(workspace, force=True)["skipped"] is False


def test_a_run_with_nothing_to_do_does_not_wait_for_feast(workspace: Settings) -> None:
    build_features(workspace)
    code = (
        "import sys; from feature_repo.command import build_features; from tailorbird.settings import load_settings;"
        f"done = build_features(load_settings(home={str(workspace.home)!r}, workspace='test'));"
        "print(done['skipped'], 'feast' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def test_new_events_are_built(workspace: Settings, shop: Shop) -> None:
    build_features(workspace)
    extra = Event("more", "click", 1.75e9, 1.75e9, user_id="u1", item_id="i1")
    with open_events(workspace) as log:
        log.append([extra])
    again = build_features(workspace)
    assert (again["skipped"], again["events"], again["position"]) == (False, 2_501, {"0": 2_501})


def test_a_lost_online_store_is_filled_again(workspace: Settings) -> None:
    build_features(workspace)
    for part in workspace.feature_folder.glob("online.db*"):
        part.unlink()
    assert build_features(workspace)["skipped"] is False
    room = FeatureStoreRoom(workspace)
    assert room.applied() == Position({0: 2_500})
    assert room.online_read(["user:u1"])[0].total > 0


def test_another_history_length_has_rows_of_its_own_beside_the_old_ones(workspace: Settings) -> None:
    build_features(workspace)
    shorter = load_settings(
        home=workspace.home, mlruns=workspace.mlruns, workspace=workspace.workspace, history_length=16
    )
    assert build_features(shorter)["skipped"] is False
    state = max(
        FeatureStoreRoom(shorter).online_read(["user:u1", "user:u2", "user:u3"]), key=lambda s: s.total
    )
    assert len(state.history) == 16
    assert state.total > 16
    before = FeatureStoreRoom(workspace)  # a platform that was started before goes on with its own rows
    assert max(len(s.history) for s in before.online_read(["user:u1", "user:u2", "user:u3"])) == 128
    assert before.applied() == Position({0: 2_500})


def test_another_log_in_the_same_workspace_starts_anew(workspace: Settings, shop: Shop) -> None:
    build_features(workspace)
    for part in workspace.folder.glob("events.db*"):
        part.unlink()
    with open_events(workspace) as log:
        log.append([Event("other", "click", 1.75e9, 1.75e9, user_id="u1", item_id="i1")])
    assert build_features(workspace)["position"] == {"0": 1}
    room = FeatureStoreRoom(workspace)
    assert [state.total for state in room.online_read(["user:u1", "user:u2"])] == [1, 0]
    assert room.item_table(shop[0]).totals.sum() == 1


def test_no_data_names_the_remedy(settings: Settings) -> None:
    with pytest.raises(TailorbirdError, match="workspace test has no data") as caught:
        build_features(settings)
    assert "tailorbird ingest" in caught.value.remedy


def test_two_builds_at_once_are_refused(workspace: Settings) -> None:
    workspace.feature_folder.mkdir(parents=True)
    with (workspace.feature_folder / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(TailorbirdError, match="being built by another process"):
            build_features(workspace)


def test_json_is_all_that_stands_on_stdout(workspace: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILORBIRD_HOME", str(workspace.home))
    done = CliRunner().invoke(features, ["--workspace", "test", "--json"])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["events"] == 2_500


def test_live_updates_go_on_from_what_was_built(workspace: Settings, shop: Shop) -> None:
    build_features(workspace)
    room = FeatureStoreRoom(workspace)
    before = room.online_read(["user:u1"])[0]
    with open_events(workspace) as log:
        appended = log.append([Event("live", "purchase", 1.76e9, 1.76e9, user_id="u1", item_id="i3")])
        ProfileUpdater(workspace, room=room, log=log).apply(appended.entries)
    after = room.online_read(["user:u1"])[0]
    assert after.total == before.total + 1
    assert after.times[-1] == pytest.approx(1.76e9)
    assert np.exp2(-(1.76e9 - before.last_seen / 1e6) / 86_400) < 1
