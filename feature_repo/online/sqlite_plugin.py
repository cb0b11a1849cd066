"""Feast's plug-in on SQLite: ``online_store.type`` in feature_store.yaml names it."""

from pathlib import Path
from typing import Literal

from feast.repo_config import FeastConfigBaseModel, RepoConfig

from feature_repo.online.plugin import LiveOnlineStore
from feature_repo.online.sqlite import SqliteDatabase


class SqliteOnlineStoreConfig(FeastConfigBaseModel):
    """The ``online_store`` section of feature_store.yaml."""

    type: Literal["feature_repo.online.sqlite_plugin.SqliteOnlineStore"] = (
        "feature_repo.online.sqlite_plugin.SqliteOnlineStore"
    )
    path: str = "online.db"
    layout: str = ""
    busy_timeout_ms: int = 5_000
    """How long a writer waits for another writer. Readers never wait for writers in WAL mode."""


class SqliteOnlineStore(LiveOnlineStore):
    """Live rows in one SQLite file: absolute, or beside feature_store.yaml."""

    def place(self, config: RepoConfig) -> str:
        """The path of the file."""
        path = Path(config.online_store.path)
        return str(path if path.is_absolute() else (Path(config.repo_path or ".") / path).resolve())

    def open(self, config: RepoConfig) -> SqliteDatabase:
        """The database in the file."""
        return SqliteDatabase(
            Path(self.place(config)), wait_seconds=config.online_store.busy_timeout_ms / 1000
        )
