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
    """Collects what waits and hands it to ``work``, which answers in the same order.

    Where ``work`` fails, each request is tried by itself, so that one's trouble is never another's; what fails alone
    goes to ``rescue``, and only what fails there too reaches its caller as an error.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Asked]], Sequence[Answered]],
        *,
        rescue: Callable[[Asked, Exception], Answered],
        limit: int = LIMIT,
    ) -> None:
        self._work, self._rescue, self._limit = work, rescue, limit
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
            if not batch:
                continue
            try:
                results = self._work([asked for asked, _ in batch])
                pairs = list(zip(batch, results, strict=True))
            except Exception:  # each meets it again, by itself
                for asked, answered in batch:
                    self._answer_alone(asked, answered)
                continue
            for (_, answered), result in pairs:
                answered.set_result(result)

    def _answer_alone(self, asked: Asked, answered: "asyncio.Future[Answered]") -> None:
        try:
            try:
                (result,) = self._work([asked])
            except Exception as error:
                result = self._rescue(asked, error)
        except Exception as error:
            answered.set_exception(error)
        else:
            answered.set_result(result)
