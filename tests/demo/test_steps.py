"""The steps of a demo: what they are, and that what the gates refuse does not end one that comes again."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from registry.versions.versions import Registry
from tailorbird.demo.steps import Step, declare_basis, prepare, steps_of
from tailorbird.errors import TailorbirdError
from tailorbird.privacy.policy.policy import POLICY_FILE, read_policy
from tailorbird.settings import load_settings
from tailorbird.simulator.command import simulate
from tailorbird.simulator.shop import Shop


@pytest.mark.slow
def test_a_demo_goes_on_with_the_version_it_has_where_the_gates_refuse_the_new_one(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Version 2 is worse than version 1, which is champion."""
    settings = registry.settings
    monkeypatch.setenv("TAILORBIRD_HOME", str(settings.home))
    monkeypatch.setenv("TAILORBIRD_MLRUNS", str(settings.mlruns))
    registry.point("champion", 1)
    own = settings.model_copy(update={"home": settings.mlruns.parent / "home"})
    own.folder.mkdir(parents=True)
    prepare([Step("promote", ("promote", "--workspace", "test", "--version", "2"))], own, None)
    assert registry.aliases() == {"champion": 1}
    assert "the gates keep the version that serves now" in capfd.readouterr().err
    with pytest.raises(TailorbirdError, match="ended with exit code 1"):
        prepare([Step("promote", ("promote", "--workspace", "test", "--version", "9"))], own, None)


def test_the_demo_s_shop_has_behaviours_to_find(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, workspace="shop")
    steps = steps_of(
        settings, data="shop", source=tmp_path / "simulated", size=20, seed=7, recipe="quick", trials=1
    )
    assert [step.name for step in steps] == ["simulate", "ingest", "features", "segments", "tune", "promote"]
    program, *arguments = steps[0].argv
    assert program == "simulate"
    assert CliRunner().invoke(simulate, arguments).exit_code == 0
    assert Shop.open(tmp_path / "simulated").behaviour_names


def test_a_demo_goes_on_without_what_is_not_needed(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """An empty workspace has nobody to find segments among."""
    settings = registry.settings
    monkeypatch.setenv("TAILORBIRD_HOME", str(settings.home))
    own = settings.model_copy(update={"home": settings.mlruns.parent / "home"})
    own.folder.mkdir(parents=True)
    prepare([Step("segments", ("segments", "fit", "--workspace", "nobody"), needed=False)], own, None)
    said = capfd.readouterr().err
    assert "has no events" in said
    assert "the demo goes on without" in " ".join(said.split())


def test_a_policy_of_somebody_s_without_a_basis_stays_and_is_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings(home=str(tmp_path), privacy="")
    declare_basis(settings)
    assert "no legal basis" not in capfd.readouterr().err
    assert read_policy(settings).basis == "contract"
    theirs = '[retention]\nview = "90d"\n'
    (settings.folder / POLICY_FILE).write_text(theirs)
    declare_basis(settings)
    assert (settings.folder / POLICY_FILE).read_text() == theirs
    assert "write [basis] into privacy.toml" in " ".join(capfd.readouterr().err.split())
