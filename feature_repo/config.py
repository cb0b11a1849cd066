"""Feast's configuration of a workspace: the same as feature_store.yaml, from the settings."""

from feast.repo_config import RegistryConfig, RepoConfig

from feature_repo.layout import layout_digest, online_file
from feature_repo.online_tables import BESIDE
from tailorbird.settings import Settings

ENTITY_KEY_VERSION = 3


def repo_config(settings: Settings, *, beside: bool = False) -> RepoConfig:
    """Registry, online and offline store of the workspace, all inside its feature folder.

    ``beside`` names the online rows that are being made to take the place of the live ones.
    """
    folder = settings.feature_folder
    return RepoConfig(
        project=project_of(settings),
        provider="local",
        # 0 means: the registry is read once and never again inside a request.
        registry=RegistryConfig(registry_type="file", path=str(folder / "registry.pb"), cache_ttl_seconds=0),
        online_store={
            "type": "feature_repo.online_store.LiveOnlineStore",
            "path": str(online_file(folder)),
            "layout": layout_digest(settings) + (BESIDE if beside else ""),
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
