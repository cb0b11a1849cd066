"""The toy shop, made once, and worlds that stand on a copy of it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tailorbird.settings import Settings, load_settings
from tests.serving.shop import copied, make_shop
from tests.serving.world import World


@pytest.fixture(scope="session")
def shop(mlflow_schema: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The toy shop. Only copy it."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "mlruns").mkdir()
    shutil.copy(mlflow_schema, folder / "mlruns" / "mlflow.db")
    settings = load_settings(home=folder / "home", mlruns=folder / "mlruns", workspace="toy")
    make_shop(settings, scratch=folder)
    return settings


@pytest.fixture
def make_world(shop: Settings, tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Makes worlds, each on a copy of the shop."""
    made: list[World] = []

    def make(change: Callable[[Settings], Settings] = lambda settings: settings, **options: object) -> World:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(World(change(copied(shop, folder)), **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for world in made:
        world.close()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """The toy world of one test."""
    return make_world()
