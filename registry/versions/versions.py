"""Versions: bundles as MLflow model versions. A version is registered once and never changes; aliases point at them."""

import shutil
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from registry.following.download import bundle_folder, local_folder
from registry.following.pointers import MISSING, RegistryAwayError, RegistryError
from registry.tracking.runs import Run
from registry.tracking.store import locked, open_client
from registry.versions.packaging import Kind
from tailorbird.bundle import BUNDLE_PATH, Bundle, Manifest, open_bundle
from tailorbird.settings import Settings

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.exceptions import MlflowException


MADE_AT = "made_at"
"""The tag with the instant before which nothing of a version was made, its data not yet read."""


@dataclass(frozen=True)
class Registered:
    """One version in the registry, the run that made it, and where its artifacts lie (a folder or an address)."""

    name: str
    version: int
    run_id: str
    source: str
    tags: Mapping[str, str]
    settings: Settings = field(repr=False, compare=False)

    @property
    def folder(self) -> Path:
        """The folder of its bundle on this machine, fetched where the artifacts lie elsewhere. Raises RegistryError."""
        return bundle_folder(self.settings, version=str(self.version), source=self.source)

    @property
    def place(self) -> str:
        """Where its bundle lies, in words for a person: nothing is fetched."""
        local = local_folder(self.source)
        return self.source if local is None else str(local / BUNDLE_PATH)

    def open(self) -> Bundle:
        """Verify and load the bundle. Raises BundleError, RegistryError."""
        return open_bundle(self.folder)


class Registry:
    """One registered model of a workspace: its recommender, unless ``name`` says otherwise."""

    def __init__(self, settings: Settings, *, name: str = "") -> None:
        self.settings = settings
        self.name = name or settings.model_name
        self.workspace = settings.workspace
        self.client = open_client(settings)

    def register(
        self,
        bundle: Path,
        *,
        run: Run,
        manifest: Manifest,
        tags: Mapping[str, object],
        description: str = "",
        kind: Kind = "recommender",
    ) -> Registered:
        """Store ``bundle`` as an MLflow model of ``run`` and make it the next version; ``description`` is Markdown."""
        from registry.versions.packaging import save_model_folder

        self._ensure_model()
        experiment = self.client.get_run(run.run_id).info.experiment_id
        logged = self.client.create_logged_model(
            experiment, name="tailorbird", source_run_id=run.run_id, model_type=kind
        )
        with tempfile.TemporaryDirectory(prefix="tailorbird-") as scratch:
            folder = Path(scratch) / "model"
            if bundle.name != "bundle":  # MLflow names an artifact's folder after its source
                bundle = Path(shutil.copytree(bundle, Path(scratch) / "bundle"))
            save_model_folder(bundle, folder, kind=kind, run_id=run.run_id, model_id=logged.model_id)
            self.client.log_model_artifacts(logged.model_id, str(folder))
        self.client.finalize_logged_model(logged.model_id, "READY")
        self._link(run, logged.model_id)
        with locked(self.settings):  # MLflow counts versions by looking for the last one
            version = self.client.create_model_version(
                self.name,
                source=logged.artifact_location,  # not models:/…, which MLflow looks up at its global address
                run_id=run.run_id,
                model_id=logged.model_id,
                description=description or None,
                tags={
                    "bundle": manifest.version,
                    "recipe_digest": manifest.recipe_digest,
                    "data_digest": manifest.data_digest,
                    "data_last": manifest.data_span[1],
                    MADE_AT: manifest.created_at,
                    **{key: str(value) for key, value in tags.items()},
                },
            )
        return self._registered(version)

    def version(self, which: str | int) -> Registered:
        """Find a version by its number, ``latest``, or an alias.

        Raises:
            RegistryError: there is no such version or alias, or nothing is registered.
        """
        from mlflow.exceptions import MlflowException

        text = str(which).removeprefix("@")
        try:
            if text == "latest":
                return self._registered(self._latest())
            if text.isdigit():
                return self._registered(self.client.get_model_version(self.name, text))
            return self._registered(self.client.get_model_version_by_alias(self.name, text))
        except MlflowException as error:
            if error.error_code not in MISSING:
                raise self._away(error) from error
            raise RegistryError(
                f"model {self.name!r} has no version or alias {text!r}",
                remedy="`tailorbird train` or `tailorbird tune` registers a version, `tailorbird promote` sets an alias",
            ) from None

    def find(
        self, *, data: str, recipe: str, tags: Mapping[str, str], without: Collection[str] = ()
    ) -> Registered | None:
        """The newest version made from this data and recipe with these tags, and none named in ``without``; None where there is none."""
        wanted = {"data_digest": data, "recipe_digest": recipe, **tags}
        found = self.tagged(wanted)
        return next((each for each in found if each.tags.keys().isdisjoint(without)), None)

    def tagged(self, tags: Mapping[str, str]) -> list[Registered]:
        """All versions with these tags, the newest first."""
        found = self.client.search_model_versions(f"name = '{self.name}'")
        fitting = [each for each in found if tags.items() <= dict(each.tags or {}).items()]
        return [self._registered(each) for each in sorted(fitting, key=lambda each: -int(each.version))]

    def alias(self, alias: str) -> Registered | None:
        """The version an alias points at; None where it points nowhere."""
        number = self.aliases().get(alias)
        return None if number is None else self.version(number)

    def aliases(self) -> dict[str, int]:
        """Every alias and the version it points at."""
        from mlflow.exceptions import MlflowException

        try:
            model = self.client.get_registered_model(self.name)
        except MlflowException as error:
            if error.error_code in MISSING:
                return {}
            raise self._away(error) from error
        return {alias: int(number) for alias, number in dict(model.aliases).items()}

    def point(self, alias: str, version: int) -> None:
        """Set ``alias`` to ``version``; only ``Aliases.move`` may, which keeps the record."""
        self.client.set_registered_model_alias(self.name, alias, str(version))

    def _ensure_model(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(
                self.name, description=f"Bundles of workspace {self.workspace}."
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _latest(self) -> "ModelVersion":
        found = self.client.search_model_versions(f"name = '{self.name}'")
        if not found:
            raise RegistryError(
                f"model {self.name!r} has no versions",
                remedy="`tailorbird train` or `tailorbird tune` registers one",
            )
        return max(found, key=lambda version: int(version.version))

    def _link(self, run: Run, model_id: str) -> None:
        from mlflow.entities import LoggedModelOutput

        self.client.log_outputs(run.run_id, [LoggedModelOutput(model_id, step=0)])

    def _registered(self, version: "ModelVersion") -> Registered:
        return Registered(
            name=version.name,
            version=int(version.version),
            run_id=version.run_id or "",
            source=self.client.get_model_version_download_uri(version.name, version.version),
            tags=dict(version.tags or {}),
            settings=self.settings,
        )

    def _away(self, error: "MlflowException") -> RegistryAwayError:
        return RegistryAwayError(
            f"the registry {self.settings.mlflow_uri} cannot be asked: {error}",
            remedy="look whether MLflow's database or server is there, and whether something holds it",
        )
