"""Group commit: whoever comes while one call writes is written with all others who came, by the next.

A keyboard's interrupt reaches the main thread alone, at any instruction: it writes in a thread beside, which ends what it began and
tells everybody, whatever becomes of who asked.
"""

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
        try:
            with self._coming:
                self._waiting.append((asked, mine))
            if threading.current_thread() is threading.main_thread():
                threading.Thread(target=self._take_turn, args=(mine, write), name="group-commit").start()
            else:
                self._take_turn(mine, write)
            return mine.result()
        except BaseException:
            with self._coming:  # nobody has taken it, or nothing is left to take out
                self._waiting = [each for each in self._waiting if each[1] is not mine]
            raise

    def _take_turn(self, mine: "Future[Done]", write: Callable[[Sequence[Asked]], Sequence[Done]]) -> None:
        """Once nobody else writes, write what waits, unless ``mine`` was among what they wrote."""
        with self._writing:
            if not mine.done():
                self._write(write)

    def _write(self, write: Callable[[Sequence[Asked]], Sequence[Done]]) -> None:
        with self._coming:
            together, self._waiting = self._waiting, []
        try:
            found = write([asked for asked, _ in together]) if together else ()
        except BaseException as error:
            for _, each in together:
                each.set_exception(error)
        else:
            for (_, each), done in zip(together, found, strict=True):
                each.set_result(done)
