"""The registry: bundles as MLflow model versions, aliases that move, and who moved them, when and why.

A version is registered once and never changes. An alias (``champion``, ``challenger``, ``shadow``) points at one
version; its past is a list on the registered model, so rollback needs no guess.
"""

import datetime as dt
import getpass
import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.pointers import RegistryError
from registry.tracking.runs import Run, locked, open_client
from tailorbird.bundle import BUNDLE_PATH, Bundle, Manifest, open_bundle
from tailorbird.settings import Settings

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

ALIASES = ("champion", "challenger", "shadow")
_KEPT = 50  # places of an alias's past that are remembered


@dataclass(frozen=True)
class Decision:
    """Why an alias moved: who, when (UTC), why and the figures it rests on."""

    who: str
    when: dt.datetime
    why: str
    figures: Mapping[str, object]

    def tags(self, alias: str) -> dict[str, str]:
        """The decision as tags of a version or a run."""
        return {
            f"{alias}.who": self.who,
            f"{alias}.when": self.when.astimezone(dt.UTC).isoformat(timespec="seconds"),
            f"{alias}.why": self.why[:4000],
            f"{alias}.figures": json.dumps(dict(self.figures), default=str)[:4000],
        }


@dataclass(frozen=True)
class Registered:
    """One version in the registry, the run that made it and the folder of its bundle."""

    name: str
    version: int
    run_id: str
    folder: Path
    tags: Mapping[str, str]

    def open(self) -> Bundle:
        """Verify and load the bundle."""
        return open_bundle(self.folder)


class Registry:
    """One workspace's registered model."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.name = settings.model_name
        self.client = open_client(settings)

    def register(
        self,
        bundle: Path,
        *,
        run: Run,
        manifest: Manifest,
        tags: Mapping[str, object],
        description: str = "",
    ) -> Registered:
        """Store ``bundle`` as an MLflow model of ``run`` and make it the next version; ``description`` is Markdown."""
        from registry.packaging import save_model_folder

        self._ensure_model()
        experiment = self.client.get_run(run.run_id).info.experiment_id
        logged = self.client.create_logged_model(
            experiment, name="tailorbird", source_run_id=run.run_id, model_type="recommender"
        )
        with tempfile.TemporaryDirectory(prefix="tailorbird-") as scratch:
            folder = Path(scratch) / "model"
            if bundle.name != "bundle":  # MLflow names an artifact's folder after its source
                bundle = Path(shutil.copytree(bundle, Path(scratch) / "bundle"))
            save_model_folder(bundle, folder, run_id=run.run_id, model_id=logged.model_id)
            self.client.log_model_artifacts(logged.model_id, str(folder))
        self.client.finalize_logged_model(logged.model_id, "READY")
        self._link(run, logged.model_id)
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
        except MlflowException:
            raise RegistryError(
                f"model {self.name!r} has no version or alias {text!r}",
                remedy="`tailorbird train` or `tailorbird tune` registers a version, `tailorbird promote` sets an alias",
            ) from None

    def find(self, *, data: str, recipe: str, tags: Mapping[str, str]) -> Registered | None:
        """The newest version made from this data and recipe with these tags; None where there is none."""
        wanted = {"data_digest": data, "recipe_digest": recipe, **tags}
        found = self.client.search_model_versions(f"name = '{self.name}'")
        fitting = [each for each in found if wanted.items() <= dict(each.tags or {}).items()]
        return self._registered(max(fitting, key=lambda each: int(each.version))) if fitting else None

    def alias(self, alias: str) -> Registered | None:
        """The version an alias points at; None where it points nowhere."""
        number = self._aliases().get(alias)
        return None if number is None else self.version(number)

    def past(self, alias: str) -> list[int]:
        """Versions the alias has pointed at, oldest first."""
        return _past(self._model_tags(), alias)

    def move(self, alias: str, version: int, *, decision: Decision) -> int | None:
        """Point ``alias`` at ``version`` and record the decision; the version it pointed at before.

        The past and the tags are written before the alias moves: an interrupted move leaves the old version serving.
        """
        _check_alias(alias)
        with locked(self._settings):
            before = self._aliases().get(alias)
            if before == version:
                return before
            past = _past(self._model_tags(), alias)
            if before is not None and (not past or past[-1] != before):
                past.append(before)
            self._remember(alias, [*past, version])
            self._decide(version, alias, decision)
            self.client.set_registered_model_alias(self.name, alias, str(version))
        return before

    def return_alias(self, alias: str, *, decision: Decision) -> tuple[int, int]:
        """Point ``alias`` at what it pointed at before; the version left and the version returned to.

        Raises:
            RegistryError: the alias is not set or has no past.
        """
        _check_alias(alias)
        with locked(self._settings):
            current = self._aliases().get(alias)
            if current is None:
                raise RegistryError(f"alias {alias!r} is not set", remedy="`tailorbird promote` sets it")
            past = _past(self._model_tags(), alias)
            # An interrupted move may have left entries after the current one: they never took effect.
            here = len(past) - 1 - past[::-1].index(current) if current in past else 0
            alive = [number for number in past[:here] if self._exists(number)]
            if not alive:
                raise RegistryError(
                    f"alias {alias!r} points at version {current} and has no earlier version",
                    remedy="promote another version instead",
                )
            target = alive[-1]
            self._decide(target, alias, decision)
            for key, value in decision.tags(f"{alias}.left").items():
                self.client.set_model_version_tag(self.name, str(current), key, value)
            self.client.set_registered_model_alias(self.name, alias, str(target))
            self._remember(alias, alive)
        return current, target

    def _decide(self, version: int, alias: str, decision: Decision) -> None:
        run_id = self.client.get_model_version(self.name, str(version)).run_id
        for key, value in decision.tags(alias).items():
            self.client.set_model_version_tag(self.name, str(version), key, value)
            if run_id:
                self.client.set_tag(run_id, key, value)

    def _remember(self, alias: str, past: list[int]) -> None:
        self.client.set_registered_model_tag(self.name, f"{alias}.past", json.dumps(past[-_KEPT:]))

    def _ensure_model(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(
                self.name, description="Recommender bundles of one workspace."
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
            folder=self._folder(version),
            tags=dict(version.tags or {}),
        )

    def _folder(self, version: "ModelVersion") -> Path:
        from mlflow.artifacts import download_artifacts
        from mlflow.utils.file_utils import local_file_uri_to_path

        where = self.client.get_model_version_download_uri(version.name, version.version)
        if where.startswith(("file:", "/")):
            return Path(local_file_uri_to_path(where)) / BUNDLE_PATH
        uri = self._settings.mlflow_uri
        return Path(download_artifacts(artifact_uri=f"{where}/{BUNDLE_PATH}", tracking_uri=uri))

    def _aliases(self) -> dict[str, int]:
        from mlflow.exceptions import MlflowException

        try:
            model = self.client.get_registered_model(self.name)
        except MlflowException:
            return {}
        return {alias: int(number) for alias, number in dict(model.aliases).items()}

    def _model_tags(self) -> Mapping[str, str]:
        return dict(self.client.get_registered_model(self.name).tags or {})

    def _exists(self, version: int) -> bool:
        from mlflow.exceptions import MlflowException

        try:
            self.client.get_model_version(self.name, str(version))
        except MlflowException:
            return False
        return True


def whoami() -> str:
    """Who decides: the login name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _past(tags: Mapping[str, Any], alias: str) -> list[int]:
    return [int(number) for number in json.loads(tags.get(f"{alias}.past", "[]"))]


def _check_alias(alias: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", alias):
        raise RegistryError(
            f"{alias!r} is no alias", remedy=f"choose one of {', '.join(ALIASES)} or a lower-case word"
        )
