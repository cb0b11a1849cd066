"""One process at a time: a lock file that its process leaves when it ends, however it ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tailorbird.plumbing.disk import identity


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait until no other process or thread holds ``path``, then hold it while the block runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def alone_if_free(path: Path) -> Iterator[bool]:
    """Hold ``path`` while the block runs and give True; give False, without waiting, where somebody else holds it.

    Who holds it may delete it: who had opened it before holds a file that nobody else can find, and looks again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            held = os.fstat(handle.fileno())
            if identity(path) == (held.st_dev, held.st_ino):
                yield True
                return
