"""A bundle in a remote store arrives whole or not at all, once for all processes, and leaves nothing behind."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from registry.following import download
from registry.following.download import bundle_folder
from registry.following.follower import Follower
from registry.following.pointers import RegistryError
from registry.versions.versions import Registry
from tailorbird.bundle import BundleError, Manifest, open_bundle
from tailorbird.settings import Settings, load_settings
from tests.registry.bundles import Scores, register
from tests.registry.racers import race
from tests.registry.server import mlflow_server


@pytest.fixture(scope="module")
def folder(mlflow_schema: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server keeps its database and its artifacts."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(mlflow_schema, folder / "mlflow.db")
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """A server with version 1, which has the alias `champion`."""
    with mlflow_server(folder) as address:
        settings = load_settings(home=folder / "home", tracking_uri=address, workspace="far")
        registry = Registry(settings)
        register(registry, settings, folder, 1.0)
        registry.client.set_registered_model_alias(registry.name, "champion", "1")
        yield address


@pytest.fixture
def far(address: str, tmp_path: Path) -> Settings:
    """Settings of a machine that has nothing yet."""
    return load_settings(home=tmp_path / "home", tracking_uri=address, workspace="far")


def arrived(far: Settings) -> list[str]:
    return sorted(path.name for path in (far.folder / "bundles").iterdir() if not path.name.endswith(".lock"))


def test_a_remote_bundle_is_fetched_once_and_opens(
    far: Settings, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    follower = Follower(far)
    assert follower.look(["champion", "shadow"]) == {"champion": "1", "shadow": None}
    release = follower.fetch("champion", "1")
    assert open_bundle(release.folder, load=Scores.load).model.values[0] == 1.0
    assert arrived(far) == [release.folder.name]
    stamp = (release.folder / "manifest.json").stat().st_ino
    assert follower.fetch("champion", "1") == release
    assert (release.folder / "manifest.json").stat().st_ino == stamp
    assert list((tmp_path / "scratch").iterdir()) == []
    assert list((folder / "tmp").iterdir()) == []  # the server's


def test_a_damaged_copy_is_fetched_again(far: Settings) -> None:
    follower = Follower(far)
    folder = follower.fetch("champion", "1").folder
    (folder / "model" / "values.npy").write_bytes(b"?")
    assert open_bundle(follower.fetch("champion", "1").folder, load=Scores.load).model.values[0] == 1.0


def fetcher(number: int, far: Settings, source: str, start: Callable[[], object]) -> tuple[str, int]:
    """One of several that ask at once: the folder it got, and which file that is."""
    start()
    folder = bundle_folder(far, version="1", source=source)
    Manifest.read(folder).verify(folder)
    return str(folder), (folder / "manifest.json").stat().st_ino


@pytest.mark.slow
def test_processes_that_ask_together_get_one_whole_copy(far: Settings) -> None:
    """Three processes race; a draft that a killed one left is taken away."""
    source = Registry(far).client.get_model_version_download_uri("tailorbird-far", "1")
    name = Follower(far).fetch("champion", "1").folder.name
    shutil.rmtree(far.folder / "bundles" / name)
    (far.folder / "bundles" / f".{name}.0badcafe.tmp").mkdir()
    said = set(race(fetcher, [1, 2, 3], far, source))
    assert len(said) == 1
    assert arrived(far) == [name]


def test_what_the_store_lost_or_damaged_is_named_and_leaves_nothing(far: Settings, folder: Path) -> None:
    values = next((folder / "store").rglob("values.npy"))
    whole = values.read_bytes()
    try:
        values.write_bytes(b"?" * len(whole))
        with pytest.raises(BundleError, match="SHA-256"):
            Follower(far).fetch("champion", "1")
        assert arrived(far) == []
        shutil.move(values.parents[1], folder / "aside")
        with pytest.raises(RegistryError, match=r"cannot fetch mlflow-artifacts:|manifest"):
            Follower(far).fetch("champion", "1")
        assert arrived(far) == []
    finally:
        if (folder / "aside").exists():
            shutil.move(folder / "aside", values.parents[1])
        values.write_bytes(whole)
    assert Follower(far).fetch("champion", "1").version == "1"


def test_copies_longest_unused_are_forgotten(far: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Registry(far).client.get_model_version_download_uri("tailorbird-far", "1")
    monkeypatch.setattr(download, "KEPT", 2)
    folders = [bundle_folder(far, version=number, source=source) for number in ("1", "2", "3")]
    assert arrived(far) == sorted(folder.name for folder in folders[1:])
