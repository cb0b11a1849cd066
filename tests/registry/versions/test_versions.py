"""Versions never change, and are found by number, alias or as the latest."""

from collections.abc import Callable
from pathlib import Path

import pytest

from registry.following.pointers import RegistryAwayError, RegistryError
from registry.versions.versions import Registry
from tailorbird.bundle import open_bundle
from tailorbird.settings import Settings, load_settings
from tests.registry.bundles import Scores, register
from tests.registry.racers import race


@pytest.fixture
def registry(settings: Settings) -> Registry:
    return Registry(settings)


def test_a_registered_bundle_opens_by_number_latest_and_alias(
    registry: Registry, settings: Settings, tmp_path: Path
) -> None:
    first = register(registry, settings, tmp_path, 1.0)
    second = register(registry, settings, tmp_path, 2.0)
    assert (first.version, second.version) == (1, 2)
    registry.point("champion", 1)
    for which, value in (("1", 1.0), ("2", 2.0), ("latest", 2.0), ("champion", 1.0), ("@champion", 1.0)):
        bundle = open_bundle(registry.version(which).folder, load=Scores.load)
        assert bundle.model.values[0] == value
    assert registry.version("latest").tags["stage"] == "test"
    assert registry.version(1).tags["bundle"] == open_bundle(first.folder, load=Scores.load).version
    assert registry.version(1).place == str(first.folder)


def test_what_is_not_there_is_named_with_a_remedy(registry: Registry) -> None:
    for which in ("champion", "7", "latest"):
        with pytest.raises(RegistryError) as missing:
            registry.version(which)
        assert "tailorbird train" in str(missing.value)
    assert registry.alias("champion") is None


def test_a_server_that_is_away_is_not_a_version_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    registry = Registry(load_settings(tracking_uri="http://127.0.0.1:9", workspace="test"))
    for ask in (lambda: registry.version("1"), registry.aliases):
        with pytest.raises(RegistryAwayError, match="cannot be asked"):
            ask()


def trainer(value: float, settings: Settings, folder: Path, start: Callable[[], object]) -> int:
    """One of several that register at once; the version it got."""
    registry, own = Registry(settings), folder / str(value)
    own.mkdir()
    start()
    return register(registry, settings, own, value).version


@pytest.mark.slow
def test_trainers_that_register_at_once_get_a_version_each(either: Settings, tmp_path: Path) -> None:
    said = race(trainer, [1.0, 2.0, 3.0], either, tmp_path)
    assert sorted(said) == [1, 2, 3]
    for value, version in zip((1.0, 2.0, 3.0), said, strict=True):
        opened = open_bundle(Registry(either).version(version).folder, load=Scores.load)
        assert opened.model.values[0] == value
