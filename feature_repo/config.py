"""Feast's configuration of a workspace: the same as feature_store.yaml, from the settings."""

from feast.repo_config import RegistryConfig, RepoConfig

from feature_repo.online.factory import project_of, store_section
from feature_repo.rows import ENTITY_KEY_VERSION
from tailorbird.settings import Settings


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
        online_store=dict(store_section(settings, beside=beside)),
        offline_store={"type": "feature_repo.offline.store.AsofOfflineStore"},
        # Materialize the newest row of each entity, not every snapshot.
        materialization={"pull_latest_features": True, "online_write_batch_size": 1_000},
        entity_key_serialization_version=ENTITY_KEY_VERSION,
        repo_path=folder,
    )
