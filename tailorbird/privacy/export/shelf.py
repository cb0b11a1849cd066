"""Where exports lie for a while, so that a download which broke off goes on: files of the workspace, and a place like others."""

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tailorbird.plumbing.alone import alone
from tailorbird.privacy.erasure.places import People, Row
from tailorbird.privacy.export.export import Format
from tailorbird.privacy.people.suppression import PRIVACY_FOLDER

KEPT_SECONDS = 3_600.0
"""How long an export may be fetched on; whoever asks anew gets one of now."""
_UNDER_WAY = ".part"
_instant = re.compile(r"[0-9a-f]{24}-(\d{20})\.").match


class ExportShelf:
    """Exports of one workspace, each under a digest of the person and the instant it was made."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.folder, self._clock = folder / PRIVACY_FOLDER / "exports", clock

    def newest(self, person: str, *, form: Format) -> Path | None:
        """The export of a person (key) that was made last and may be fetched on."""
        self.sweep()
        return max(self._files(person, form), default=None)

    def put(self, person: str, *, form: Format, write: Callable[[Path], object]) -> Path:
        """Have an export written, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.sweep()
        with alone(self._lock(person)):
            for left in self.folder.glob(f"{_digest(person)}-*{_UNDER_WAY}"):  # by a process that was killed
                left.unlink()
            path = self.folder / f"{_digest(person)}-{int(self._clock() * 1e6):020d}.{form}"
            staged = path.with_name(path.name + _UNDER_WAY)
            os.close(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
            try:
                write(staged)
                staged.replace(path)
            finally:
                staged.unlink(missing_ok=True)
            return path

    def of(self, person: str) -> list[Path]:
        """Every export of a person, also one that is being written or never was to its end."""
        return sorted(self.folder.glob(f"{_digest(person)}-*"))

    def drop(self, person: str) -> None:
        """Delete them, once nobody makes one."""
        if self.folder.is_dir():
            with alone(self._lock(person)):
                for path in self.of(person):
                    path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Delete what has lain for its time, whosever it is."""
        oldest = self._clock() - KEPT_SECONDS
        for path in self.folder.glob("*-*.*"):
            made = _instant(path.name)
            if made and int(made[1]) / 1e6 < oldest:
                path.unlink(missing_ok=True)

    def _lock(self, person: str) -> Path:
        """One of 256, which stay: a lock that is deleted may be held twice, and one a person would be a file a person."""
        return self.folder / f".{_digest(person)[:2]}.lock"

    def _files(self, person: str, form: Format) -> list[Path]:
        return [path for path in self.of(person) if path.suffix == f".{form}"]


class ExportsPlace:
    """Exports made before."""

    name = "exports"
    words = "exports made before, which may still be fetched"
    claims = ("privacy/exports/*",)

    def __init__(self, folder: Path) -> None:
        self._shelf = ExportShelf(folder)

    def count(self, people: People) -> Mapping[str, int]:
        """Files of each."""
        return {key: found for key in people if (found := len(self._shelf.of(key)))}

    def erase(self, people: People) -> None:
        """Delete them."""
        for key in people:
            self._shelf.drop(key)

    def read(self, people: People) -> Iterator[Row]:
        """When they were made."""
        for key in people:
            for path in self._shelf.of(key):
                yield {"file": path.name, "words": "an export that you asked for"}

    verify = count


def _digest(person: str) -> str:
    return hashlib.blake2b(person.encode(errors="surrogatepass"), digest_size=12).hexdigest()
