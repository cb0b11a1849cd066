"""How often and when a call is tried: the same rules for both clients, and no clock or network of their own."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tailorbird_client.calls import Answer, Call
from tailorbird_client.errors import RefusedError, UnavailableError

AGAIN = frozenset({429, 502, 503, 504})
"""Answers after which the same call may succeed."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 2.0


@dataclass
class Attempts:
    """The attempts of one call, which began at ``started`` (seconds of any clock that only goes forward)."""

    started: float
    timeout: float
    deadline: float
    retries: int
    made: int = 0
    last: str = "nothing was tried"

    def seconds_for_next(self, now: float) -> float:
        """How long the next attempt may take.

        Raises:
            UnavailableError: no time or no attempt is left.
        """
        left = self.started + self.deadline - now
        if self.made > self.retries or left <= 0:
            raise UnavailableError(self.last, attempts=self.made)
        self.made += 1
        return min(self.timeout, left)

    def pause(self, *, said: float | None, now: float, draw: Callable[[], float] = random.random) -> float:
        """Seconds to wait before the next attempt: as long as was ``said``, else random below a bound that doubles.

        Raises:
            UnavailableError: the next attempt would come after the deadline, or there is none.
        """
        bound = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (self.made - 1))
        seconds = bound * draw() if said is None else said
        if self.made > self.retries or now + seconds >= self.started + self.deadline:
            raise UnavailableError(self.last, attempts=self.made)
        return seconds


class TryAgainError(Exception):
    """The same call may succeed later, after ``seconds`` if the platform said so."""

    def __init__(self, why: str, seconds: float | None = None) -> None:
        super().__init__(why)
        self.seconds = seconds


def read(call: Call[Answer], response: httpx.Response) -> Answer:
    """The answer of a response.

    Raises:
        TryAgainError: there is none.
        RefusedError: there is none, and trying again would not help.
    """
    if response.is_success:
        try:
            return call.read(response.json())
        except (ValueError, KeyError, TypeError) as error:
            raise TryAgainError(f"an answer that cannot be read: {error!r}") from error
    if response.status_code in AGAIN:
        raise TryAgainError(f"status {response.status_code}", _seconds(response.headers.get("retry-after")))
    raise RefusedError(response.status_code, _problem(response))


def _problem(response: httpx.Response) -> Mapping[str, Any]:
    try:
        found = response.json()
    except ValueError:
        return {"detail": response.text[:200]}
    return found if isinstance(found, dict) else {"detail": str(found)[:200]}


def _seconds(text: str | None) -> float | None:
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:  # a date: our platform never says one
        return None
