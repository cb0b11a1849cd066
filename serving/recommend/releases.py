"""Looks an alias up in MLflow's registry and finds the folder of the bundle it points at."""

from pathlib import Path

from serving.recommend.champion import Release
from tailorbird.bundle import BUNDLE_PATH
from tailorbird.settings import Settings


class MlflowReleases:
    """One workspace's alias in the registry."""

    def __init__(self, settings: Settings, *, alias: str = "champion") -> None:
        self._settings, self._alias = settings, alias
        self._known: Release | None = None
        self._client: object = None

    def current(self) -> Release | None:
        """The release the alias points at; None where it points nowhere. Raises when the registry is away."""
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        database = self._settings.mlruns / "mlflow.db"
        if not self._settings.tracking_uri and not database.exists():
            return None  # MLflow would create an empty one
        if self._client is None:
            uri = self._settings.mlflow_uri
            self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        client = self._client
        assert isinstance(client, MlflowClient)
        try:
            found = client.get_model_version_by_alias(self._settings.model_name, self._alias)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
        version = str(found.version)
        if self._known is None or self._known.version != version:
            self._known = Release(
                version, self._folder(client.get_model_version_download_uri(found.name, version))
            )
        return self._known

    def _folder(self, where: str) -> Path:
        from mlflow.artifacts import download_artifacts
        from mlflow.utils.file_utils import local_file_uri_to_path

        if where.startswith(("file:", "/")):
            return Path(local_file_uri_to_path(where)) / BUNDLE_PATH
        return Path(download_artifacts(artifact_uri=f"{where}/{BUNDLE_PATH}"))
