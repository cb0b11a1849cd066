"""The clock of a service: the present, or one past instant at which it stands still."""

import time
from collections.abc import Callable


def clock_at(instant: float) -> Callable[[], float]:
    """Tell the time as epoch seconds; with ``instant`` > 0 it is always that, for replaying what was asked then."""
    return (lambda: instant) if instant > 0 else time.time
