"""Feast's plug-in on Redis: ``online_store.type`` in feature_store.yaml names it."""

from typing import Literal

from feast.repo_config import FeastConfigBaseModel, RepoConfig

from feature_repo.online.plugin import LiveOnlineStore
from feature_repo.online.redis import RedisDatabase
from tailorbird.plumbing.redis import RedisAddress


class RedisOnlineStoreConfig(FeastConfigBaseModel):
    """The ``online_store`` section of feature_store.yaml."""

    type: Literal["feature_repo.online.redis_plugin.RedisOnlineStore"] = (
        "feature_repo.online.redis_plugin.RedisOnlineStore"
    )
    address: str = "redis://127.0.0.1:6379/0"
    layout: str = ""
    busy_timeout_ms: int = 5_000
    """How long a writer waits for another writer. Readers never wait for writers."""


class RedisOnlineStore(LiveOnlineStore):
    """Live rows in one Redis or Redis Cluster."""

    def place(self, config: RepoConfig) -> str:
        """The address and the workspace in it."""
        return f"{config.online_store.address} {config.project}"

    def open(self, config: RepoConfig) -> RedisDatabase:
        """The workspace's part of that Redis."""
        store = config.online_store
        address = RedisAddress.parse(store.address, setting="online")
        return RedisDatabase(address, project=config.project, wait_seconds=store.busy_timeout_ms / 1000)
