"""Bundles in an object store: what one machine registers another fetches, and neither leaves anything in its temporary folder."""

import tempfile
from pathlib import Path

import pytest

from registry.following.follower import Follower
from registry.promotion.aliases import Aliases
from registry.versions.versions import Registry
from tailorbird.bundle import open_bundle
from tailorbird.settings import Settings, load_settings
from tests.registry.bundles import Scores, register
from tests.registry.promotion.test_aliases import decided


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder while the test runs."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    return scratch


def test_two_machines_share_nothing_but_postgres_and_the_bucket(
    storage: str, mlflow_database: str, tmp_path: Path, scratch: Path
) -> None:
    def machine(name: str) -> Settings:
        home = tmp_path / name
        return load_settings(
            home=home / "home",
            mlruns=home / "mlruns",
            tracking_uri=mlflow_database,
            storage=storage,
            workspace="test",
        )

    one, other = machine("one"), machine("other")
    registry = Registry(one)
    made = register(registry, one, tmp_path, 1.0)
    assert made.place.startswith(f"{storage}/mlflow/tailorbird-test/")
    Aliases(registry).move(decided(1, None))
    follower = Follower(other)
    assert follower.look(["champion"]) == {"champion": "1"}
    folder = follower.fetch("champion", "1").folder
    assert folder.is_relative_to(other.folder)
    assert open_bundle(folder, load=Scores.load).model.values[0] == 1.0
    assert [decision.who for decision in Aliases(Registry(other)).history()] == ["ada"]
    assert not one.mlruns.exists()
    assert not other.mlruns.exists()
    assert list(scratch.iterdir()) == []
