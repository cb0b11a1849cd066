"""The tables of a catalogue that machines share, as objects: sent and brought whole, never changed."""

import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow.fs as fs

from tailorbird.plumbing.disk import fsync
from tailorbird.plumbing.objects import ObjectPath, file_system
from tailorbird.streams.stream import StreamAwayError

CHANGES = "changes"
STRAY_SECONDS = 86_400.0
"""How old an object must be that no table is: a machine that was lost while it sent it has left it."""


class SharedObjects:
    """The objects in ``folder``. Every call raises StreamAwayError where the storage cannot be asked."""

    def __init__(self, folder: ObjectPath) -> None:
        self.folder = folder

    def fetch(self, name: str, target: Path) -> None:
        """Bring an object to this machine, whole and on the disk or not at all."""
        target.parent.mkdir(parents=True, exist_ok=True)
        staged = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            with self._answers():
                fs.copy_files(
                    (self.folder / name).key,
                    str(staged),
                    source_filesystem=file_system(),
                    destination_filesystem=fs.LocalFileSystem(),
                )
            fsync(staged)
            staged.replace(target)
            fsync(target.parent)
        finally:
            staged.unlink(missing_ok=True)

    def send(self, path: Path, name: str) -> None:
        """Store a file of this machine under a name."""
        with self._answers():
            fs.copy_files(
                str(path),
                (self.folder / name).key,
                source_filesystem=fs.LocalFileSystem(),
                destination_filesystem=file_system(),
            )

    def changes(self) -> list[str]:
        """The names of the files that say what items were before."""
        with self._answers():
            return sorted(each.name for each in (self.folder / CHANGES).glob("*.parquet"))

    def delete(self, names: Collection[str]) -> None:
        """Let go of objects; what cannot be deleted now is a stray of later."""
        for name in names:
            with suppress(OSError):
                file_system().delete_file((self.folder / name).key)

    def sweep(self, *, keep: Collection[str], older_than: float | None = None) -> None:
        """Delete tables that nobody names and that came before an instant (epoch seconds; STRAY_SECONDS ago)."""
        before = time.time() - STRAY_SECONDS if older_than is None else older_than
        with suppress(OSError):
            found = file_system().get_file_info(fs.FileSelector(self.folder.key, allow_not_found=True))
            tables = [each for each in found if each.base_name.endswith(".parquet")]
            self.delete(
                [
                    each.base_name
                    for each in tables
                    if each.base_name not in keep
                    and each.mtime_ns is not None
                    and each.mtime_ns < before * 1e9
                ]
            )

    @contextmanager
    def _answers(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StreamAwayError(
                f"the catalogue's tables in {self.folder}: {error}",
                remedy="`tailorbird doctor` says whether the storage answers",
            ) from error
