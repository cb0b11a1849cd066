"""``tailorbird profile`` on a real workspace: what it prints of somebody, now and then, with a segment model and without."""

import datetime as dt
import json
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from feature_repo.command import build_features
from serving.admin.people.profile_command import parsed_instant, profile
from tailorbird.errors import UsageError
from tailorbird.privacy.door.door import Door
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_events
from tests.features.toy import CATALOG, NOON, event
from tests.segments.carters import CARTS, carters, damage, register_segments


@pytest.fixture
def workspace(mlflow_schema: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    (tmp_path / "mlruns").mkdir()
    shutil.copy(mlflow_schema, tmp_path / "mlruns" / "mlflow.db")
    monkeypatch.setenv("TAILORBIRD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TAILORBIRD_MLRUNS", str(tmp_path / "mlruns"))
    settings = load_settings(workspace="toy")
    CATALOG.write(settings.catalog_folder)
    with closing(Door.of(settings)) as door, open_events(settings) as stream:
        deeds = [event(f"m{n}", "add_to_cart", "kettle", NOON + 60 * n) for n in range(4)]
        stream.append(door.events(deeds))
    build_features(settings)
    return settings


def run(*words: str) -> tuple[str, str]:
    """What the command says on stdout and on stderr."""
    ran = CliRunner().invoke(profile, [*words, "--workspace", "toy"], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return ran.stdout, ran.stderr


def test_the_command_shows_and_prints(workspace: Settings) -> None:
    said = json.loads(run("ann", "--json")[0])
    assert (said["user_key"], said["events"], said["segment"]) == ("user:ann", 4, None)
    at = dt.datetime.fromtimestamp(NOON + 1, dt.UTC).isoformat()
    assert json.loads(run("ann", "--at", at, "--json")[0])["events"] == 1
    shown, _ = run("nobody", "--anonymous")
    assert "person: anon:nobody" in shown
    assert "events: 0" in shown
    with pytest.raises(UsageError, match="is no instant"):
        parsed_instant("yesterday")
    assert parsed_instant("1970-01-02") == parsed_instant("1970-01-02T01:00:00+01:00") == 86_400.0


def test_the_command_names_the_segment_of_the_promoted_model(workspace: Settings, tmp_path: Path) -> None:
    register_segments(workspace, carters(), tmp_path)
    said = json.loads(run("ann", "--json")[0])["segment"]
    assert (said["key"], said["model_version"], said["incumbent"]) == (CARTS, "1", CARTS)
    assert sum(each["share"] for each in said["memberships"]) == pytest.approx(1.0, abs=1e-3)
    early = dt.datetime.fromtimestamp(NOON + 61, dt.UTC).isoformat()
    assert json.loads(run("ann", "--at", early, "--json")[0])["segment"]["key"] == ""
    assert "segment: fills carts (evidence" in run("ann")[0]
    damage(tmp_path)
    shown, aside = run("ann")
    assert "events: 4" in shown
    assert "segment model is refused" in aside
