"""The manifest: what a bundle holds, with the SHA-256 of every file, and the check that it still does."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from tailorbird.errors import TailorbirdError

MANIFEST_NAME = "manifest.json"
FORMAT = 1
BUNDLE_PATH = "artifacts/bundle"
"""Where the bundle lies inside a model version's folder."""


class BundleError(TailorbirdError):
    """A bundle cannot be written or trusted: damaged, incomplete, foreign or already there."""


@dataclass(frozen=True)
class FileRecord:
    """One file of a bundle: its SHA-256 (hex) and its size in bytes."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """What a bundle is and holds. Times are ISO 8601, UTC; ``data_span`` is first and last event of its training."""

    name: str
    model: str
    created_at: str
    git_commit: str
    recipe_digest: str
    data_digest: str
    data_span: tuple[str, str]
    measured_before: str
    """Figures in ``metrics`` come from a twin fitted on events before this instant and asked about those after it."""
    libraries: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, FileRecord] = field(default_factory=dict)
    format: int = FORMAT
    segments: Mapping[str, str] = field(default_factory=dict)
    """Name, version and digest of the segment model that is pinned; its files are among ``files``. Empty where none is."""

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the manifest's canonical JSON: the one name of this bundle's content."""
        return hashlib.sha256(self._canonical().encode()).hexdigest()

    @property
    def version(self) -> str:
        """The first 12 digits of ``digest``."""
        return self.digest[:12]

    def to_json(self) -> str:
        """The text of ``manifest.json``, its own digest included."""
        return json.dumps(self._plain() | {"digest": self.digest}, indent=2, sort_keys=True) + "\n"

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read ``manifest.json`` of ``folder``.

        Raises:
            BundleError: it is missing, is no manifest, has another format or does not match its own digest.
        """
        path = folder / MANIFEST_NAME
        try:
            text = path.read_text("utf-8")
            raw = json.loads(text)
        except FileNotFoundError:
            raise BundleError(
                f"no bundle at {folder}: {MANIFEST_NAME} is missing",
                remedy="name a bundle's folder or train one",
            ) from None
        except (OSError, ValueError) as error:
            raise _damaged(path, f"it cannot be read ({error})") from None
        if not isinstance(raw, dict) or raw.get("format") != FORMAT:
            found = raw.get("format") if isinstance(raw, dict) else type(raw).__name__
            raise BundleError(
                f"{path} has format {found!r}, this version reads {FORMAT}",
                remedy="train again with this version, or open it with the version that wrote it",
            )
        claimed = raw.pop("digest", None)
        try:
            raw["files"] = {name: FileRecord(**record) for name, record in raw["files"].items()}
            raw["data_span"] = tuple(raw["data_span"])
            manifest = cls(**raw)
        except (KeyError, TypeError, AttributeError) as error:
            raise _damaged(path, f"a field is missing or unknown ({error})") from None
        if manifest.to_json() != text:
            raise _damaged(path, f"its digest is {manifest.digest[:12]}, it claims {str(claimed)[:12]}")
        return manifest

    def verify(self, folder: Path) -> None:
        """Compare every file of ``folder`` with the record.

        Raises:
            BundleError: a file is missing, damaged, not named here, or lies outside of the folder.
        """
        present = set(relative_files(folder)) - {MANIFEST_NAME}
        for name in sorted(present - set(self.files)):
            raise BundleError(
                f"{folder / name} is not named in the manifest",
                remedy="remove it: a bundle holds what it was written with and nothing else",
            )
        for name, record in self.files.items():
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise _damaged(folder / MANIFEST_NAME, f"it names a file outside of the bundle: {name!r}")
            if name not in present:
                raise _damaged(folder / name, "the file is missing")
            size = (folder / name).stat().st_size
            if size != record.bytes:
                raise _damaged(folder / name, f"it has {size:,} bytes, the manifest says {record.bytes:,}")
            found = file_sha256(folder / name)
            if found != record.sha256:
                raise _damaged(
                    folder / name, f"its SHA-256 is {found[:12]}…, the manifest says {record.sha256[:12]}…"
                )

    def _canonical(self) -> str:
        return json.dumps(self._plain(), sort_keys=True, separators=(",", ":"))

    def _plain(self) -> dict[str, Any]:
        """Without what is not there: a bundle that pins nothing reads as those of before."""
        said = asdict(self)
        if not self.segments:
            del said["segments"]
        return said


def record_files(folder: Path) -> dict[str, FileRecord]:
    """Measure every file below ``folder``, by its path with forward slashes."""
    return {
        name: FileRecord(sha256=file_sha256(folder / name), bytes=(folder / name).stat().st_size)
        for name in relative_files(folder)
    }


def relative_files(folder: Path) -> list[str]:
    """Name every file below ``folder``, sorted, with forward slashes."""
    return sorted(
        (Path(root) / name).relative_to(folder).as_posix()
        for root, _, names in os.walk(folder, followlinks=False)
        for name in names
    )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _damaged(path: Path, why: str) -> BundleError:
    return BundleError(f"bundle is damaged at {path}: {why}", remedy="publish the bundle again, or roll back")
