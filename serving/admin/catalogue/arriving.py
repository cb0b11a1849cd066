"""Files that are being sent to admin: each lies in the workspace while it is read, and no longer, however its process ends."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

PREFIX = ".upload-"


@contextmanager
def arriving(folder: Path, *, suffix: str) -> Iterator[IO[bytes]]:
    """An empty file of its own in ``folder``, which its process holds until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    while True:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=PREFIX, suffix=suffix, delete=False) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not os.fstat(file.fileno()).st_nlink:  # swept before it was held
                continue
            try:
                yield file
            finally:
                Path(file.name).unlink(missing_ok=True)
            return


def sweep(folder: Path) -> None:
    """Delete files that no process holds any more: theirs were killed."""
    for path in folder.glob(f"{PREFIX}*"):
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)
        except (BlockingIOError, FileNotFoundError):
            continue
