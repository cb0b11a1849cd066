"""Files on the disk: whether what was written has reached it, whether a file is still the one it was, arrays in place."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def fsync(path: Path) -> None:
    """Make a file, or the names in a folder, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def identity(path: Path | str) -> tuple[int, int] | None:
    """What no other file has while this one exists; None where there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - runs in every read of a database
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino


def mapped(path: Path) -> "np.ndarray":
    """The array of an npy file, mapped into memory: processes share it, and only what is read is loaded."""
    import numpy as np  # commands that read no array need not wait for it

    return np.asarray(np.load(path, mmap_mode="r"))  # a memmap is slow to index
