"""How fast and how often a target is called: a token bucket, and waits that grow between tries."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """Exponential, with full jitter: subscribers that were away are not met by everything at once when they are back.

    Source: AWS Architecture Blog, "Exponential Backoff And Jitter", 2015.
    """

    first_seconds: float = 30.0
    longest_seconds: float = 3_600.0

    def bound(self, attempts: int) -> float:
        """The longest wait after so many failed attempts, at least one."""
        return min(self.longest_seconds, self.first_seconds * 2.0 ** (attempts - 1))

    def after(self, attempts: int, rng: random.Random) -> float:
        """Seconds to wait: any up to the bound."""
        return rng.uniform(0.0, self.bound(attempts))


BACKOFF = Backoff()


class TokenBucket:
    """Lets ``per_second`` through in the long run, and after a rest as many at once as it lets through in a second."""

    def __init__(self, per_second: float, *, clock: Callable[[], float]) -> None:
        self._rate, self._most, self._clock = per_second, max(1.0, per_second), clock
        self._tokens, self._filled = self._most, clock()
        self._lock = threading.Lock()

    def take(self) -> float:
        """Take one and return 0, or return the seconds after which to come again."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._most, self._tokens + max(0.0, now - self._filled) * self._rate)
            self._filled = now
            if self._tokens >= 1.0:
                self._tokens -= 1.0
                return 0.0
            return (1.0 - self._tokens) / self._rate
