"""Answers the requests that wait together: no request waits for others to come, but those that are there share the work.

Stage by stage over several requests, every table and weight is fetched into the processor's caches once, not once a request.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answered = TypeVar("Answered")
LIMIT = 16
"""Requests at a time: more gains nothing and would hold up the event loop."""
TURNS = 3
"""Turns of the event loop in which requests that have arrived reach the queue."""


class Batcher(Generic[Asked, Answered]):
    """Collects what waits and hands it to ``work``, which answers in the same order."""

    def __init__(self, work: Callable[[Sequence[Asked]], Sequence[Answered]], *, limit: int = LIMIT) -> None:
        self._work, self._limit = work, limit
        self._waiting: deque[tuple[Asked, asyncio.Future[Answered]]] = deque()
        self._running: asyncio.Task[None] | None = None

    async def submit(self, asked: Asked) -> Answered:
        """Wait for the answer."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Answered] = loop.create_future()
        self._waiting.append((asked, answered))
        if self._running is None or self._running.done():
            self._running = loop.create_task(self._run())
        return await answered

    async def _run(self) -> None:
        while self._waiting:
            for _ in range(TURNS):
                await asyncio.sleep(0)
            batch = [self._waiting.popleft() for _ in range(min(self._limit, len(self._waiting)))]
            batch = [
                (asked, answered) for asked, answered in batch if not answered.done()
            ]  # the caller has left
            try:
                results = self._work([asked for asked, _ in batch])
            except Exception as error:
                for _, answered in batch:
                    answered.set_exception(error)
                continue
            for (_, answered), result in zip(batch, results, strict=True):
                answered.set_result(result)
