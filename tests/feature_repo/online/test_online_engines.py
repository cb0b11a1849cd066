"""Every engine of the online store passes the laws."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tailorbird.settings import Settings, load_settings
from tests.feature_repo.laws import OnlineLaws
from tests.redis_server import RedisServer, new_cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = new_cluster(tmp_path_factory.mktemp("cluster"))
    yield server
    server.kill()


class TestSqlite(OnlineLaws):
    """The embedded store: what the settings choose where they say nothing."""


class TestRedis(OnlineLaws):
    """One Redis."""

    @pytest.fixture
    def settings(self, tmp_path: Path, redis_url: str) -> Settings:
        return load_settings(
            home=tmp_path / "home",
            mlruns=tmp_path / "mlruns",
            workspace="test",
            online=f"{redis_url}?prefix={tmp_path.name}",
        )


class TestRedisCluster(OnlineLaws):
    """A cluster, of one node: it refuses whatever spans slots, as many nodes do."""

    # Spawning takes its time; test_redis_online.py has several writers on a cluster.
    test_two_processes_write_the_same_users_and_lose_nothing = None  # type: ignore[assignment]

    @pytest.fixture
    def settings(self, tmp_path: Path, cluster: RedisServer) -> Settings:
        return load_settings(
            home=tmp_path / "home",
            mlruns=tmp_path / "mlruns",
            workspace="test",
            online=f"{cluster.url}?cluster=true&prefix={tmp_path.name}",
        )
