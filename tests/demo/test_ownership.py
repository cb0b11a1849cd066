"""A demo neither mixes its data into somebody's workspace nor deletes what it did not bring."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tailorbird.cli import tailorbird
from tailorbird.demo.ownership import Stamps, forget, ingested, require_own_workspace, write_stamps
from tailorbird.errors import UsageError
from tailorbird.settings import Settings


def note(settings: Settings, name: str) -> None:
    (settings.folder / "ingested").mkdir(parents=True, exist_ok=True)
    (settings.folder / "ingested" / f"{name}.json").write_text("{}")


def test_a_workspace_with_somebodys_data_is_refused_before_anything_happens(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = settings.model_copy(update={"workspace": "shop"})
    note(shop, "mine")
    monkeypatch.setenv("TAILORBIRD_HOME", str(shop.home))
    for arguments in (["demo"], ["demo", "--fresh", "--yes"]):
        found = CliRunner().invoke(tailorbird, [*arguments, "--prepare-only"], standalone_mode=False)
        assert isinstance(found.exception, UsageError)
        assert "data sets of your own" in found.exception.what
        assert "--workspace" in found.exception.remedy
    assert ingested(shop) == {"mine"}


def test_what_a_demo_brought_is_its_own_also_after_a_kill(settings: Settings) -> None:
    write_stamps(settings, Stamps({}, set(), running="ingest"))
    note(settings, "theirs")  # killed before it noted what it brought
    require_own_workspace(settings)
    write_stamps(settings, Stamps({"ingest": "x"}, {"theirs"}, running=""))
    require_own_workspace(settings)
    note(settings, "mine")
    with pytest.raises(UsageError, match="1 ingested"):
        require_own_workspace(settings)


def test_nothing_is_deleted_without_a_yes(settings: Settings) -> None:
    write_stamps(settings, Stamps({}, set(), running=""))
    with pytest.raises(UsageError, match="every event posted to it"):
        forget(settings, confirmed=False)
    assert json.loads((settings.folder / "demo.json").read_text())["running"] == ""
    forget(settings, confirmed=True)
    assert not settings.folder.exists()
    forget(settings, confirmed=False)  # nothing there, nothing to ask
