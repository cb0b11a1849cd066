"""A load that is sent by the clock: what waits for its turn counts, so a service that falls behind shows it."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np

from serving.bench.harness.callers import Ask, Line

LINES = 64
"""Connections of the paced load: more waiting requests than these wait for their turn, and the wait counts."""


@dataclass(frozen=True)
class Paced:
    """Requests sent by the clock: the waits in milliseconds from when each was due, and their statuses; 0: no answer."""

    waits_ms: np.ndarray
    statuses: Counter[int]

    @property
    def failed(self) -> int:
        """How many were not answered as asked."""
        return sum(count for status, count in self.statuses.items() if not 200 <= status < 300)

    def percentile(self, share: float) -> float:
        """The wait that so many percent of the requests did not exceed."""
        return round(float(np.percentile(self.waits_ms, share)), 1)


async def send_by_the_clock(base: str, ask: Callable[[int], Ask], *, rate: float, seconds: float) -> Paced:
    """Send requests when they are due, whether or not those before are answered."""
    where = urlsplit(base)
    numbers, waits, statuses = iter(range(max(1, int(rate * seconds)))), list[float](), Counter[int]()
    started = time.perf_counter()

    async def line() -> None:
        connection = Line(str(where.hostname), int(where.port or 80))
        for number in numbers:
            due = started + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            sent = ask(number)
            try:
                status, _ = await connection.send(sent.path, sent.body, method=sent.method)
            except (OSError, EOFError):
                status = 0
                connection.close()
            statuses[status] += 1
            waits.append((time.perf_counter() - due) * 1_000)
        connection.close()

    await asyncio.gather(*[line() for _ in range(LINES)])
    return Paced(np.array(waits), statuses)
