"""From a version's artifact address to a verified folder on this machine: in place, or a cached copy made whole or not at all."""

import hashlib
import os
import shutil
import uuid
from pathlib import Path
from urllib.parse import unquote, urlparse

from registry.following.pointers import RegistryError
from tailorbird.bundle.manifest import BUNDLE_PATH, BundleError, Manifest
from tailorbird.plumbing.alone import alone
from tailorbird.settings import Settings

KEPT = 8
"""Copies of remote bundles that stay on this machine; the longest unused go first."""


def bundle_folder(settings: Settings, *, version: str, source: str) -> Path:
    """The folder of a version's bundle: itself where ``source`` is on this machine, else a cached copy.

    A copy is verified against its manifest before it gets its name, and again whenever it is asked for; a damaged one is
    fetched anew. Any number of processes may ask at once: one downloads, the others wait for it.

    Raises:
        RegistryError: the artifacts cannot be fetched.
        BundleError: what the store holds is no bundle or is damaged.
    """
    local = local_folder(source)
    if local is not None:
        return local / BUNDLE_PATH
    cache = settings.folder / "bundles"
    name = f"{version}-{hashlib.sha256(source.encode()).hexdigest()[:12]}"
    target = cache / name
    with alone(cache / f".{name}.lock"):
        if not _whole(target):
            _fetch(f"{source}/{BUNDLE_PATH}", target, uri=settings.mlflow_uri)
        os.utime(target)
    _prune(cache, keep=target)
    return target


def local_folder(source: str) -> Path | None:
    """The path that ``source`` names on this machine; None where it is an address elsewhere."""
    if source.startswith("/"):
        return Path(source)
    parsed = urlparse(source)
    return Path(unquote(parsed.path)) if parsed.scheme == "file" else None


def _whole(folder: Path) -> bool:
    """Whether a cached copy is there and undamaged; a damaged one is taken away."""
    if not folder.exists():
        return False
    try:
        Manifest.read(folder).verify(folder)
    except BundleError:
        shutil.rmtree(folder)
        return False
    return True


def _fetch(address: str, target: Path, *, uri: str) -> None:
    """Download into a folder beside ``target``, verify, rename. The caller holds the lock of ``target``."""
    for left in target.parent.glob(f".{target.name}.*.tmp"):
        shutil.rmtree(left)  # a killed process's: the lock says that nobody is at work on it
    draft = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.tmp"
    draft.mkdir()
    try:
        folder = _downloaded(address, draft, uri=uri)
        Manifest.read(folder).verify(folder)
        folder.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _downloaded(address: str, into: Path, *, uri: str) -> Path:
    from mlflow.artifacts import download_artifacts

    try:
        return Path(download_artifacts(artifact_uri=address, dst_path=str(into), tracking_uri=uri))
    except ImportError as error:
        raise RegistryError(
            f"cannot fetch {address}: {error}", remedy="pip install 'tailorbird[s3]'"
        ) from error
    except Exception as error:  # artifact stores raise what their own clients raise: boto, requests, OSError
        raise RegistryError(
            f"cannot fetch {address}: {type(error).__name__}: {error}",
            remedy="look whether the artifact store answers and still holds this version",
        ) from error


def _prune(cache: Path, *, keep: Path) -> None:
    """Forget the copies that were longest unused; a process that has one open keeps its files."""
    copies = [path for path in cache.iterdir() if path.is_dir() and not path.name.startswith(".")]
    for path in sorted(copies, key=_used, reverse=True)[KEPT:]:
        if path != keep:
            shutil.rmtree(path, ignore_errors=True)


def _used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another process was quicker
        return 0.0
