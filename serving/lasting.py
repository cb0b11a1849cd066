"""A thread that others live by: it goes on after its own errors, and says whether it still lives. And what stays in memory."""

import gc
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence

log = logging.getLogger("ray.serve.tailorbird")
PAUSE_SECONDS = 0.5
"""Between an error and the next try: an error that stays must not become a busy loop."""
SWITCH_SECONDS = 0.0005


class LastingThread:
    """Runs ``work`` until it returns; an exception is logged, counted and followed by another run.

    Only what ends the thread itself (SystemExit, a kill of the interpreter) ends it: the health check then finds it
    dead, and the replica is replaced.
    """

    def __init__(
        self, work: Callable[[], object], *, name: str, pause_seconds: float = PAUSE_SECONDS
    ) -> None:
        self.name, self.failures = name, 0
        self._work, self._pause = work, pause_seconds
        self._returned = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs, or has ended because its work was done."""
        return self._thread.is_alive() or self._returned.is_set()

    def join(self, timeout: float) -> None:
        """Wait for the work to return."""
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            try:
                self._work()
            except Exception:
                self.failures += 1
                log.exception("%s failed and starts again", self.name)
                time.sleep(self._pause)
            else:
                self._returned.set()
                return


def dead(threads: Iterable[LastingThread]) -> list[str]:
    """The names of the threads that have died."""
    return [thread.name for thread in threads if not thread.alive]


def refuse_dead(names: Sequence[str]) -> None:
    """Raise what has Ray Serve replace the replica, where one of its threads has died."""
    if names:
        raise RuntimeError(f"threads have died: {', '.join(names)}")


def keep_for_good() -> None:
    """Have the garbage collector pass over what stands now: a replica's catalogue and its parts live as long as it does."""
    gc.collect()
    gc.freeze()


def give_way_often() -> None:
    """Have threads that compute in Python give way to a request ten times as often as by default: a new version loads beside."""
    sys.setswitchinterval(SWITCH_SECONDS)
