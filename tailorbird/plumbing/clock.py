"""The clock of a service: the present, or one past instant at which it stands still; and spans of time as people write them."""

import re
import time
from collections.abc import Callable

from tailorbird.errors import UsageError

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


def clock_at(instant: float) -> Callable[[], float]:
    """Tell the time as epoch seconds; with ``instant`` > 0 it is always that, for replaying what was asked then."""
    return (lambda: instant) if instant > 0 else time.time


def seconds_of(text: str, *, option: str) -> float:
    """A span of time that somebody gave to ``option``, such as 30s, 15m, 2h or 1d, in seconds.

    Raises:
        UsageError: it is no such span, or none at all.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text.strip())
    if found is None or float(found[1]) <= 0:
        raise UsageError(f"{option} {text!r} is no time", remedy="write it as 30s, 15m, 2h or 1d")
    return float(found[1]) * _SECONDS[found[2]]
