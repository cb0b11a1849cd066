"""Which files of a workspace go into a backup as they are, which are sealed, and which are left out; copies of one moment each."""

import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path

from tailorbird.plumbing.disk import fsync

COPIED = (
    "*.toml",
    "mappings/*",
    "experiments/*",
    "readouts/*",
    "studies/*",
    "catalog/items.parquet",
    "catalog/changes/*",
    "audit.db",
    "audit.key",
    "keys.json",
    "experiments.db",
    "retraining.db",
    "shadows.db",
    "privacy/suppressed.db",
    "privacy/erasures.db",
    "privacy/retention.json",
)
"""They hold nobody, or name people by their keys on purpose; those that end in .db are databases."""
LEFT_OUT: Mapping[str, str] = {
    "*-wal": "part of a database",
    "*-shm": "part of a database",
    "events*.db": "sealed: the records of both streams",
    "exposures*.db": "sealed: the records of both streams",
    "archive/*": "sealed: the records of both streams",
    "catalog/*": "users are sealed; patches are folded into the tables first",
    "features/*": "made anew from the events: tailorbird features",
    "segments/*": "made anew from the profiles: tailorbird segments assign",
    "ingested/*": "reports of ingests, which may name people",
    "quarantine/*": "refused rows: whoever brought them has them",
    "triggers.db": "what waits to be told is told by the workspace that lives",
    "bundles/*": "copies of what the registry has",
    "simulated/*": "the demo's invented people, made anew",
    "secrets/*": "keys lie beside all backups, once; the master key nowhere here",
    "privacy/exports/*": "exports, for an hour",
    "privacy/backups.json": "where backups of this workspace lie",
    "serving.json": "where the platform that serves is",
    "demo.json": "which steps of the demo are done",
    "key-counts.bin": "quotas used of late",
    ".*": "locks, and files that are being written",
    "*/.*": "locks, and files that are being written",
    "*.lock": "locks",
}
"""And why. A file that is in neither list is a mistake, which a test finds."""


def copied(folder: Path) -> Iterator[Path]:
    """The files of a workspace that are copied, relative to it, in order."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not path.is_symlink() and is_copied(name):
            yield Path(name)


def is_copied(name: str) -> bool:
    """Whether a file of this name, relative to the workspace, is copied."""
    if any(part.startswith(".") for part in name.split("/")):
        return False
    return any(fnmatch(name, glob) and glob.count("/") == name.count("/") for glob in COPIED)


def copy(source: Path, target: Path) -> None:
    """Copy a file as it is at one moment, whoever writes to it meanwhile; on the disk when this returns."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix == ".db":
        _copy_database(source, target)
    else:
        shutil.copyfile(source, target)
    target.chmod(source.stat().st_mode & 0o777)
    fsync(target)


def _copy_database(source: Path, target: Path) -> None:
    reading = sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)
    writing = sqlite3.connect(target)
    try:
        reading.backup(writing)
        writing.execute("PRAGMA journal_mode = DELETE")  # one file, which may lie on any medium
    finally:
        writing.close()
        reading.close()
