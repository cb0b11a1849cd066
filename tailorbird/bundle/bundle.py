"""The bundle: one immutable folder that holds a model and all it needs to answer. Written whole or not at all."""

import datetime as dt
import importlib
import importlib.metadata
import json
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tailorbird.bundle.manifest import MANIFEST_NAME, BundleError, Manifest, record_files, relative_files
from tailorbird.plumbing.disk import fsync

LIBRARIES = ("tailorbird", "numpy", "torch", "faiss-cpu", "scikit-learn")


class Model(Protocol):
    """What a bundle can hold: anything that writes itself into a folder; its class reads it with ``load``."""

    def save(self, folder: Path) -> object:
        """Write everything ``load`` needs into ``folder``."""


@dataclass(frozen=True)
class Origin:
    """Where a model comes from. Times are UTC; ``digest`` names the data, ``first`` and ``last`` event of it."""

    name: str
    recipe: str = ""
    """The recipe's TOML."""
    recipe_digest: str = ""
    data_digest: str = ""
    first_event: dt.datetime | None = None
    last_event: dt.datetime | None = None
    measured_before: dt.datetime | None = None
    git_commit: str = ""
    segments: Mapping[str, str] = field(default_factory=dict)
    """Name, version and digest of the segment model that the model pins."""


@dataclass(frozen=True)
class Fallbacks:
    """What to show without a model: item ids, best first, for all and per segment."""

    everyone: Sequence[str] = ()
    segments: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files all match their checksums."""

    folder: Path
    manifest: Manifest
    model: Any
    metrics: Mapping[str, Any]
    fallbacks: Fallbacks
    recipe: str

    @property
    def version(self) -> str:
        """The first 12 digits of the content's digest."""
        return self.manifest.version


def write_bundle(
    model: Model,
    folder: Path,
    *,
    origin: Origin,
    metrics: Mapping[str, Any],
    fallbacks: Fallbacks,
    now: dt.datetime,
) -> Manifest:
    """Write ``model`` and what belongs to it into the new ``folder``.

    Everything goes to a folder beside it first, is flushed to disk, and gets its name in one rename: a reader sees the
    whole bundle or none.

    Raises:
        BundleError: ``folder`` exists already (a bundle never changes).
    """
    if folder.exists():
        raise BundleError(f"{folder} exists already", remedy="a bundle never changes: choose a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        (draft / "model").mkdir(parents=True)
        model.save(draft / "model")
        (draft / "recipe.toml").write_text(origin.recipe, "utf-8")
        _write_json(draft / "metrics.json", metrics)
        _write_json(
            draft / "fallbacks.json",
            {
                "everyone": list(fallbacks.everyone),
                "segments": {name: list(items) for name, items in fallbacks.segments.items()},
            },
        )
        manifest = Manifest(
            name=origin.name,
            model=f"{type(model).__module__}:{type(model).__qualname__}",
            created_at=_iso(now),
            git_commit=origin.git_commit,
            recipe_digest=origin.recipe_digest,
            data_digest=origin.data_digest,
            data_span=(_iso(origin.first_event), _iso(origin.last_event)),
            measured_before=_iso(origin.measured_before),
            libraries=_library_versions(),
            files=record_files(draft),
            segments=dict(origin.segments),
        )
        (draft / MANIFEST_NAME).write_text(manifest.to_json(), "utf-8")
        _flush(draft)
        draft.rename(folder)
    except OSError as error:
        raise BundleError(f"cannot write a bundle to {folder}: {error}", remedy="check the disk") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return manifest


def open_bundle(folder: Path, *, load: Callable[[Path], Any] | None = None) -> Bundle:
    """Verify every file of ``folder`` against its manifest and load the model.

    ``load`` reads the model's folder; None takes the class the manifest names, which must be one of ours.

    Raises:
        BundleError: the bundle is missing, damaged, of another format, or its model does not load.
    """
    manifest = Manifest.read(folder)
    manifest.verify(folder)
    reader = load or _reader(manifest.model)
    try:
        model = reader(folder / "model")
        raw = json.loads((folder / "fallbacks.json").read_text("utf-8"))
        return Bundle(
            folder=folder,
            manifest=manifest,
            model=model,
            metrics=json.loads((folder / "metrics.json").read_text("utf-8")),
            fallbacks=Fallbacks(everyone=raw["everyone"], segments=raw["segments"]),
            recipe=(folder / "recipe.toml").read_text("utf-8"),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(
            f"the model of bundle {folder} does not load: {error}",
            remedy="its files are whole, so this version cannot read them: train again",
        ) from error


def _reader(model: str) -> Callable[[Path], Any]:
    module, _, name = model.partition(":")
    if not module.startswith("tailorbird.") or not name.isidentifier():
        raise BundleError(
            f"bundle names the model class {model!r}, which is not one of tailorbird's",
            remedy="pass `load`, or train a bundle with this version",
        )
    try:
        reader: Callable[[Path], Any] = getattr(importlib.import_module(module), name).load
    except (ImportError, AttributeError) as error:
        raise BundleError(
            f"bundle names the model class {model!r}, which this version lacks ({error})",
            remedy="open it with the version that wrote it, or train again",
        ) from error
    return reader


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", "utf-8")


def _iso(instant: dt.datetime | None) -> str:
    return "" if instant is None else instant.astimezone(dt.UTC).isoformat()


def _library_versions() -> dict[str, str]:
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "unknown"
    return versions


def _flush(folder: Path) -> None:
    """Make the files and the folders that name them durable."""
    folders = {folder}
    for name in relative_files(folder):
        path = folder / name
        folders.add(path.parent)
        fsync(path)
    for each in folders:
        fsync(each)
