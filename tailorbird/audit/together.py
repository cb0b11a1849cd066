"""Group commit: whoever comes while one call writes is written with all others who came, by the next."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Done = TypeVar("Done")


class Together(Generic[Asked, Done]):
    """Gathers what threads ask for, and does it at once, in the order in which they came. Thread-safe."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Asked, Future[Done]]] = []
        self._coming, self._writing = threading.Lock(), threading.Lock()

    def result(self, asked: Asked, write: Callable[[Sequence[Asked]], Sequence[Done]]) -> Done:
        """What became of ``asked``, once ``write`` has done it, by this thread or another one. Raises what ``write`` raised."""
        mine: Future[Done] = Future()
        with self._coming:
            self._waiting.append((asked, mine))
        with self._writing:
            if not mine.done():
                self._write(write)
        return mine.result()

    def _write(self, write: Callable[[Sequence[Asked]], Sequence[Done]]) -> None:
        with self._coming:
            together, self._waiting = self._waiting, []
        try:
            found = write([asked for asked, _ in together])
        except BaseException as error:
            for _, each in together:
                each.set_exception(error)
        else:
            for (_, each), done in zip(together, found, strict=True):
                each.set_result(done)
