"""Looks aliases up in MLflow's registry and finds the folders of the bundles they point at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tailorbird.bundle import BUNDLE_PATH
from tailorbird.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Release:
    """A version that an alias points at, and the folder of its bundle."""

    version: str
    folder: Path
    alias: str


class Releases(Protocol):
    """Where aliases are looked up."""

    def look(self, aliases: Sequence[str]) -> Mapping[str, str | None]:
        """The version each alias points at; None where it points nowhere. Raises when the registry is away."""

    def fetch(self, alias: str, version: str) -> Release:
        """Bring the bundle of ``version`` to this machine. Raises when it is gone."""


class MlflowReleases:
    """One workspace's aliases in the registry."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opened: MlflowClient | None = None

    def look(self, aliases: Sequence[str]) -> Mapping[str, str | None]:
        """The version each alias points at; None where it points nowhere. Raises when the registry is away."""
        from mlflow.exceptions import MlflowException

        database = self._settings.mlruns / "mlflow.db"
        if not self._settings.tracking_uri and not database.exists():
            return dict.fromkeys(aliases)  # MLflow would create an empty one
        try:
            found = dict(self._client().get_registered_model(self._settings.model_name).aliases)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return dict.fromkeys(aliases)
            raise
        return {alias: str(found[alias]) if alias in found else None for alias in aliases}

    def fetch(self, alias: str, version: str) -> Release:
        """Bring the bundle of ``version`` to this machine. Raises when it is gone."""
        from mlflow.artifacts import download_artifacts
        from mlflow.utils.file_utils import local_file_uri_to_path

        where = self._client().get_model_version_download_uri(self._settings.model_name, version)
        if where.startswith(("file:", "/")):
            return Release(version, Path(local_file_uri_to_path(where)) / BUNDLE_PATH, alias)
        return Release(version, Path(download_artifacts(artifact_uri=f"{where}/{BUNDLE_PATH}")), alias)

    def _client(self) -> "MlflowClient":
        from mlflow import MlflowClient

        if self._opened is None:
            uri = self._settings.mlflow_uri
            self._opened = MlflowClient(tracking_uri=uri, registry_uri=uri)
        return self._opened
