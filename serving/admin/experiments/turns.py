"""One at a time: what may take gigabytes waits for whatever takes them now, and says so where that lasts."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from serving.http.problems import ProblemError

TURN_SECONDS = 60.0
"""How long a readout or a check waits for the one before it."""


class Turn:
    """Whose turn it is among several routes; ``what`` names in errors what is under way."""

    def __init__(self, what: str, *, wait_seconds: float = TURN_SECONDS) -> None:
        self._what, self._wait_seconds = what, wait_seconds
        self._lock = threading.Lock()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold it while the block runs. Raises ProblemError (503) where it does not come up in time."""
        if not self._lock.acquire(timeout=self._wait_seconds):
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "busy",
                f"{self._what} has been under way for {self._wait_seconds:.0f} s",
                remedy="try again when it is done",
            )
        try:
            yield
        finally:
            self._lock.release()
