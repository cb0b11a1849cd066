"""What a backup says of itself: when it was made, of what, how much there is, and the digest of every file."""

import datetime as dt
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.plumbing.disk import fsync

MANIFEST_FILE = "manifest.json"
FORMAT = 1
_NAME = "%Y%m%dT%H%M%SZ"
NAMES = "????????T??????Z"
"""What backups are called, as a glob."""


@dataclass(frozen=True)
class Manifest:
    """``counts`` are records by what they are of; ``ends`` the last offset by stream and partition; ``files`` SHA-256 by name.

    ``signature`` (HMAC-SHA-256, hex) is of all the rest: whoever can write into a folder of backups plants nothing in one.
    """

    workspace: str
    made: float
    program: str
    fingerprint: str
    counts: Mapping[str, int]
    ends: Mapping[str, Mapping[str, int]]
    files: Mapping[str, str]
    format: int = FORMAT
    signature: str = ""

    def signed(self, key: bytes) -> "Manifest":
        """The same with its signature."""
        return replace(self, signature=self._signature(key))

    def is_signed(self, key: bytes) -> bool:
        """Whether the signature is by this key, and nothing was changed since."""
        return hmac.compare_digest(self.signature, self._signature(key))

    def write(self, folder: Path) -> None:
        """The last of a backup: what has none is no backup."""
        path = folder / MANIFEST_FILE
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", "utf-8")
        fsync(path)

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Of the backup in ``folder``. Raises UsageError where it is none, TailorbirdError where it is of a newer program."""
        path = folder / MANIFEST_FILE
        if not path.is_file():
            raise UsageError(
                f"{folder} is no backup: it has no {MANIFEST_FILE}",
                remedy="`tailorbird backup list FOLDER` names those there are",
            )
        try:
            said = json.loads(path.read_text("utf-8"))
            newer = said["format"] != FORMAT
            found = None if newer else cls(**said)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UsageError(
                f"{folder} is no backup: {error}",
                remedy="`tailorbird backup list FOLDER` names those there are",
            ) from error
        if found is None:
            raise TailorbirdError(
                f"{folder} has format {said['format']}, this program knows {FORMAT}",
                remedy="use the newer program",
            )
        return found

    def _signature(self, key: bytes) -> str:
        said = asdict(replace(self, signature=""))
        text = json.dumps(said, sort_keys=True, separators=(",", ":"))
        return hmac.new(key, b"tailorbird backup " + text.encode(), hashlib.sha256).hexdigest()

    def wrong_files(self, folder: Path) -> list[str]:
        """Files that are missing, were changed, or came later, by name."""
        there = digests(folder)
        return sorted(
            name for name in there.keys() | self.files.keys() if there.get(name) != self.files.get(name)
        )


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder but the manifest, by name."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != MANIFEST_FILE:
            with path.open("rb") as handle:
                found[name] = hashlib.file_digest(handle, "sha256").hexdigest()
    return found


def name_of(instant: float) -> str:
    """What a backup of an instant (epoch seconds) is called; names sort by time."""
    return dt.datetime.fromtimestamp(instant, dt.UTC).strftime(_NAME)


def backups_in(folder: Path) -> list[Path]:
    """The backups of a folder, the oldest first."""
    return sorted(path.parent for path in folder.glob(f"*/{MANIFEST_FILE}"))
