"""Collects events one by one and sends them in batches, from a thread of its own: telling costs a request nothing."""

import atexit
import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Self

from tailorbird_client.answers import Collected
from tailorbird_client.client import Client
from tailorbird_client.errors import RefusedError, UnavailableError
from tailorbird_client.events import Event

log = logging.getLogger("tailorbird_client")
LARGEST_BATCH = 5_000
"""What the platform takes at once."""


class Collector:
    """``tell`` never waits and never raises for what the network does; events stay in order.

    A batch goes when ``batch`` events wait or the oldest has waited ``every_seconds``. While the platform is away events wait,
    ``most`` of them; beyond that the newest are dropped and counted, so that what began is told whole. ``on_dropped`` hears of
    each event that is lost, with the reason. Close it, or use it as a context manager: what waits is sent before the
    process ends, for ``close_seconds`` at most.
    """

    def __init__(
        self,
        client: Client,
        *,
        batch: int = 200,
        every_seconds: float = 1.0,
        most: int = 100_000,
        close_seconds: float = 5.0,
        on_dropped: Callable[[Event, str], object] = lambda event, reason: None,
    ) -> None:
        if not 1 <= batch <= LARGEST_BATCH:
            raise ValueError(f"batch {batch}: 1 to {LARGEST_BATCH}")
        self._client, self._batch, self._every, self._most = client, batch, every_seconds, most
        self._close_seconds, self._on_dropped = close_seconds, on_dropped
        self._waiting: deque[Event] = deque()
        self._changed = threading.Condition()
        self._oldest = 0.0
        self._sending = 0
        self._flushing = self._closed = False
        self.dropped = 0
        self.sent = Collected()
        self._thread = threading.Thread(target=self._run, name="tailorbird-collector", daemon=True)
        self._thread.start()
        ended = weakref.WeakMethod(self.close)
        atexit.register(lambda: (close := ended()) and close())

    def tell(self, event: Event) -> bool:
        """Have an event sent; False where it was dropped because too many wait, or after ``close``."""
        with self._changed:
            if not self._closed and len(self._waiting) + self._sending < self._most:
                if not self._waiting:
                    self._oldest = time.monotonic()
                self._waiting.append(event)
                if len(self._waiting) >= self._batch or len(self._waiting) == 1:
                    self._changed.notify_all()
                return True
        self._drop(event, "closed" if self._closed else f"{self._most:,} events wait already")
        return False

    def flush(self, seconds: float = 5.0) -> bool:
        """Send what waits now; whether all of it was answered within ``seconds``."""
        with self._changed:
            self._flushing = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._waiting and not self._sending, seconds)

    def close(self) -> None:
        """Send what waits and stop; what cannot be sent in time is dropped and counted."""
        with self._changed:
            if self._closed:
                return
        self.flush(self._close_seconds)
        with self._changed:
            self._closed = True
            left = list(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        for event in left:
            self._drop(event, "the platform was away until the end")
        self._thread.join(self._close_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _run(self) -> None:
        while batch := self._next():
            self._send(batch)
            with self._changed:
                self._sending = 0
                if not self._waiting:
                    self._flushing = False
                self._changed.notify_all()

    def _next(self) -> list[Event]:
        """The next batch, once it is due; empty at the end."""
        with self._changed:
            while not self._closed:
                due = self._oldest + self._every - time.monotonic()
                if self._waiting and (self._flushing or len(self._waiting) >= self._batch or due <= 0):
                    found = [self._waiting.popleft() for _ in range(min(self._batch, len(self._waiting)))]
                    self._oldest, self._sending = time.monotonic(), len(found)
                    return found
                if not self._waiting:
                    self._flushing = False
                self._changed.wait(due if self._waiting else None)
            return []

    def _send(self, batch: list[Event]) -> None:
        while True:
            try:
                answer = self._client.collect(batch)
            except UnavailableError as error:
                log.warning("%d events wait for the platform: %s", len(batch), error)
                with self._changed:
                    if self._changed.wait_for(lambda: self._closed, timeout=self._every):
                        break
                continue
            except RefusedError as error:
                for event in batch:
                    self._drop(event, str(error))
                return
            for note in answer.rejected:
                self._drop(batch[note.index], note.reason)
            self.sent = Collected(
                self.sent.accepted + answer.accepted, self.sent.duplicates + answer.duplicates
            )
            return
        for event in batch:
            self._drop(event, "the platform was away until the end")

    def _drop(self, event: Event, reason: str) -> None:
        with self._changed:
            self.dropped += 1
        log.warning("event %s is lost: %s", event.message_id, reason)
        self._on_dropped(event, reason)
