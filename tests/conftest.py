"""What every test may ask for: the real data, where it is found, and a workspace of its own."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # toy networks: more threads only wait for each other

from functools import cache
from pathlib import Path
from typing import Any

os.environ["TAILORBIRD_PRIVACY"] = str(Path(__file__).with_name("privacy.toml"))

import hypothesis
import pytest
from xdist.scheduler import LoadFileScheduling

from tailorbird.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parents[1]
pytest_plugins = [
    "tests.objects",
    "tests.postgres",
    "tests.redis_server",
    "tests.stores",
    "tests.streams.brokers",
]
hypothesis.settings.register_profile("tailorbird", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("tailorbird")


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of published data sets: TAILORBIRD_DATA, or ../shared/data beside the project."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("TAILORBIRD_DATA", default))
    if not folder.is_dir():
        pytest.skip(
            f"no published data at {folder}; set TAILORBIRD_DATA to a folder that holds movielens-1m, ..."
        )
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an empty workspace in a temporary folder."""
    return load_settings(home=tmp_path / "home", mlruns=tmp_path / "mlruns", workspace="test")


class SideBySide(LoadFileScheduling):
    """A file's tests stay together, and one worker, from the start, has all files that start a cluster: two at once are too many."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return "clusters" if starts_cluster(ROOT / file) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> SideBySide:
    """Say how `--numprocesses` divides tests."""
    return SideBySide(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What starts a cluster comes first, then what takes long, so that no worker is left with it in the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (not starts_cluster(item.path), item.path not in slow))


@cache
def starts_cluster(file: Path) -> bool:
    """Whether a file's tests are marked so."""
    return "pytest.mark.ray" in file.read_text(encoding="utf-8")
