"""Who was erased, for requests that must not wait for a database: the list as a thread read it a moment ago."""

import logging
import threading
from collections.abc import Callable

from serving.lasting import LastingThread
from tailorbird.errors import TailorbirdError

log = logging.getLogger("ray.serve.tailorbird")
LOOK_SECONDS = 0.5
"""How long after an erasure began, on any machine, a kept ranking of the person may still be given."""


class Forgotten:
    """The list of a shared database. While that is away it is the one before; kept rankings lapse by themselves."""

    def __init__(self, listed: Callable[[], frozenset[str]], *, look_seconds: float = LOOK_SECONDS) -> None:
        self._listed, self._look_seconds = listed, look_seconds
        self._people: frozenset[str] = frozenset()
        self._trouble = ""
        self._stop = threading.Event()
        self.thread = LastingThread(self._follow, name="forgotten")

    def __call__(self) -> frozenset[str]:
        """The list at the last look; the same object as long as it is the same list."""
        return self._people

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self.thread.join(timeout=5)

    def _follow(self) -> None:
        while not self._stop.is_set():
            try:
                self._people, self._trouble = self._listed(), ""
            except TailorbirdError as error:
                if not self._trouble:
                    log.warning("who was erased cannot be asked, the list before holds: %s", error)
                self._trouble = str(error)
            self._stop.wait(self._look_seconds)
