"""What every test may ask for: the real data, where it is found, and a workspace of its own."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # toy networks: more threads only wait for each other

from pathlib import Path

os.environ["TAILORBIRD_PRIVACY"] = str(Path(__file__).with_name("privacy.toml"))

import hypothesis
import pytest

from tailorbird.settings import Settings, load_settings

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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With `--dist loadgroup` a file's tests stay together, and one worker, from the start, has all that start a cluster."""
    clusters, slow = (
        {item.path for item in items if item.get_closest_marker(mark)} for mark in ("ray", "slow")
    )
    items.sort(key=lambda item: (item.path not in clusters, item.path not in slow))
    for item in items:
        group = "ray" if item.path in clusters else str(item.path.relative_to(item.config.rootpath))
        item.add_marker(pytest.mark.xdist_group(group))
