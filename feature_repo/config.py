"""Feast's configuration of a workspace: the same as feature_store.yaml, from the settings."""

import hashlib

from feast.repo_config import RegistryConfig, RepoConfig

from feature_repo.online_store import TABLE_VERSION
from tailorbird.features.records import RECORD
from tailorbird.features.table import AFFINITY_HALF_LIFE_S, FEATURES, ITEM_HALF_LIVES, USER_HALF_LIVES
from tailorbird.settings import Settings

ENTITY_KEY_VERSION = 3


def repo_config(settings: Settings) -> RepoConfig:
    """Registry, online and offline store of the workspace, all inside its feature folder."""
    folder = settings.feature_folder
    return RepoConfig(
        project=project_of(settings),
        provider="local",
        # 0 means: the registry is read once and never again inside a request.
        registry=RegistryConfig(registry_type="file", path=str(folder / "registry.pb"), cache_ttl_seconds=0),
        online_store={
            "type": "feature_repo.online_store.LiveOnlineStore",
            "path": str(folder / "online.db"),
        },
        offline_store={"type": "feature_repo.offline_store.AsofOfflineStore"},
        # Materialize the newest row of each entity, not every snapshot.
        materialization={"pull_latest_features": True, "online_write_batch_size": 1_000},
        entity_key_serialization_version=ENTITY_KEY_VERSION,
        repo_path=folder,
    )


def project_of(settings: Settings) -> str:
    """Feast's project name: the workspace in the letters Feast allows."""
    return settings.workspace.replace("-", "_")


def layout_digest(settings: Settings) -> str:
    """Changes when stored rows mean something else: other features, half-lives, records or history length."""
    said = (FEATURES, dict(USER_HALF_LIVES), dict(ITEM_HALF_LIVES), AFFINITY_HALF_LIFE_S, RECORD.descr)
    return hashlib.sha256(repr((said, settings.history_length, TABLE_VERSION)).encode()).hexdigest()[:16]
