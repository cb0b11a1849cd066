"""Exponentially decayed sums that do not care in which order their events arrive.

A sum is kept at a reference instant, the latest event's. An event of weight w at time t adds w 2^(-(ref - t)/h); a later
event first moves the reference. Both steps commute up to rounding, so late events leave the sums of punctual ones.
"""

from collections.abc import Mapping

import numpy as np

from tailorbird.events.valence import PRESENCE
from tailorbird.features.table import (
    AFFINITY_HALF_LIFE_S,
    COUNTED_TYPES,
    ITEM_HALF_LIVES,
    USER_HALF_LIVES,
)

TYPE_CODE = {name: code for code, name in enumerate(COUNTED_TYPES)}
OTHER = TYPE_CODE["other"]
RATING = TYPE_CODE["rating"]
HIDE = TYPE_CODE["hide"]
TYPE_PRESENCE = np.array([PRESENCE.get(name, 0.0) for name in COUNTED_TYPES])  # (types,)

USER_COUNTS = len(COUNTED_TYPES) * len(USER_HALF_LIVES)
PRICE = slice(USER_COUNTS, USER_COUNTS + 3)  # weight, weighted log price, weighted square
VALUE = slice(USER_COUNTS + 3, USER_COUNTS + 6)  # count, sum, sum of squares of ratings
USER_SUMS = USER_COUNTS + 6
ITEM_COUNTS = len(COUNTED_TYPES) * len(ITEM_HALF_LIVES)
ITEM_STRENGTH = slice(ITEM_COUNTS, ITEM_COUNTS + len(ITEM_HALF_LIVES))  # what events said for the item
ITEM_VALUE = slice(ITEM_STRENGTH.stop, ITEM_STRENGTH.stop + 2)  # count and sum of ratings
ITEM_SUMS = ITEM_VALUE.stop

AFFINITY_RATE = 1.0 / AFFINITY_HALF_LIFE_S  # halvings a second


def _rates(half_lives: Mapping[str, float], *, times: int, rest: list[float]) -> np.ndarray:
    return np.concatenate([np.tile([1.0 / h for h in half_lives.values()], times), rest])


USER_RATES = _rates(
    USER_HALF_LIVES, times=len(COUNTED_TYPES), rest=[AFFINITY_RATE] * 3 + [0.0] * 3
)  # (USER_SUMS,) halvings a second
ITEM_RATES = _rates(ITEM_HALF_LIVES, times=len(COUNTED_TYPES) + 1, rest=[0.0] * 2)  # (ITEM_SUMS,)


def type_code(event_type: str) -> int:
    """Number of an event type's counter."""
    return TYPE_CODE.get(event_type, OTHER)


def decay(rates: np.ndarray, seconds: float) -> np.ndarray:
    """Factors by which sums with ``rates`` (halvings a second) shrink in ``seconds``."""
    factors: np.ndarray = np.exp2(rates * -seconds)
    return factors
