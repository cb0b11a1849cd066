"""How long what was computed of a profile holds: until an event leaves or enters its live window, or the hour ends."""

import math

from tailorbird.features.history.context import HOUR_S
from tailorbird.features.history.records import MICROSECONDS, microseconds
from tailorbird.features.profile.state import UserState
from tailorbird.features.table import LIVE_WINDOW_S

_WINDOW_US = microseconds(LIVE_WINDOW_S)
_MARGIN_US = 2
"""Instants are rounded to microseconds: a window moves at most so much earlier than it should."""


def cacheable_seconds(state: UserState, *, now: float, at_most: float) -> float:
    """Seconds from ``now`` (epoch) in which no event enters or leaves the profile's live window, and the hour stays.

    Until then the live features of :func:`~tailorbird.features.vectors.user.user_vector` do not change, nor the bucket of a
    context. What moves continuously (decayed sums, the time since the latest event) is why there is ``at_most``.
    """
    instant = microseconds(now)
    times = state.history["time"]
    changes = [
        *(times[(times > instant - _WINDOW_US) & (times <= instant)] + _WINDOW_US),
        *times[times > instant],
    ]
    seconds = (1.0 + math.floor(now / HOUR_S)) * HOUR_S - now
    if changes:
        seconds = min(seconds, (int(min(changes)) - instant - _MARGIN_US) / MICROSECONDS)
    return max(0.0, min(at_most, seconds))
