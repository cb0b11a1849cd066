"""Several aliases are followed at once, whatever becomes of what they point at."""

import shutil
from pathlib import Path

import pytest

from registry.following.follower import Follower
from registry.following.pointers import RegistryAwayError, RegistryError
from registry.versions.versions import Registry
from tailorbird.bundle import BundleError, open_bundle
from tailorbird.settings import Settings
from tests.registry.bundles import Scores, register


@pytest.fixture
def registry(settings: Settings, tmp_path: Path) -> Registry:
    """A registry with versions 1 and 2."""
    registry = Registry(settings)
    for value in (1.0, 2.0):
        register(registry, settings, tmp_path, value)
    return registry


def point(registry: Registry, alias: str, version: str) -> None:
    registry.client.set_registered_model_alias(registry.name, alias, version)


def test_several_aliases_are_followed_in_one_look(registry: Registry, settings: Settings) -> None:
    follower = Follower(settings)
    point(registry, "champion", "1")
    point(registry, "challenger", "2")
    assert follower.look(["champion", "challenger", "shadow"]) == {
        "champion": "1",
        "challenger": "2",
        "shadow": None,
    }
    point(registry, "champion", "2")
    assert follower.look(["champion"]) == {"champion": "2"}
    release = follower.fetch("champion", "2")
    assert (release.alias, release.version) == ("champion", "2")
    assert open_bundle(release.folder, load=Scores.load).model.values[0] == 2.0
    assert not (settings.folder / "bundles").exists()  # what lies on this machine is not copied


def test_a_version_deleted_between_look_and_fetch_is_named(registry: Registry, settings: Settings) -> None:
    follower = Follower(settings)
    point(registry, "champion", "1")
    (version,) = filter(None, follower.look(["champion"]).values())
    registry.client.delete_model_version(registry.name, version)
    with pytest.raises(RegistryError, match="points at version 1 of 'tailorbird-test', which is deleted"):
        follower.fetch("champion", version)
    assert follower.look(["champion"]) == {"champion": None}
    assert follower.fetch("challenger", "2").version == "2"


def test_files_that_are_gone_or_damaged_are_named(registry: Registry, settings: Settings) -> None:
    follower = Follower(settings)
    folder = follower.fetch("champion", "1").folder
    (folder / "model" / "values.npy").write_bytes(b"?")
    with pytest.raises(BundleError, match="damaged"):
        open_bundle(follower.fetch("champion", "1").folder, load=Scores.load)
    shutil.rmtree(folder.parents[1])
    with pytest.raises(RegistryError, match="has no bundle at"):
        follower.fetch("champion", "1")


def test_a_registry_that_is_away_comes_back(registry: Registry, settings: Settings, tmp_path: Path) -> None:
    point(registry, "champion", "1")
    follower, database = Follower(settings), settings.mlruns / "mlflow.db"
    whole = database.read_bytes()
    database.write_bytes(b"torn" * 4096)
    with pytest.raises(RegistryAwayError):
        follower.look(["champion"])
    with pytest.raises(RegistryAwayError):
        follower.fetch("champion", "1")
    database.write_bytes(whole)
    assert follower.look(["champion"]) == {"champion": "1"}
