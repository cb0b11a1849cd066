"""A file that is followed live: looked at once a second at most, and read again where it has changed."""

from collections.abc import Callable
from pathlib import Path

LOOK_SECONDS = 1.0


class LookedFile:
    """Says whether a file is another one than at the last look; a file that is gone is one without a mark."""

    def __init__(self, path: Path, *, clock: Callable[[], float]) -> None:
        self._path, self._clock = path, clock
        self._mark: tuple[int, int, int] | None = None
        self._looked = float("-inf")

    @property
    def exists(self) -> bool:
        """Whether it was there at the last look."""
        return self._mark is not None

    def changed(self) -> bool:
        """Look, if a second has passed; whether it changed, came or went since the last look.

        Raises:
            OSError: it is there, as far as one can tell, and cannot be looked at.
        """
        now = self._clock()
        if 0 <= now - self._looked < LOOK_SECONDS:
            return False
        self._looked = now
        try:
            status = self._path.stat()
            mark = (status.st_ino, status.st_mtime_ns, status.st_size)
        except FileNotFoundError:
            mark = None
        before, self._mark = self._mark, mark
        return mark != before
