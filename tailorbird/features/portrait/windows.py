"""Rolling windows of a history by the time at which things happened: what portraits count and written rules compare."""

from collections.abc import Mapping

import numpy as np

from tailorbird.features.history.records import microseconds
from tailorbird.features.history.sums import TYPE_CODE
from tailorbird.features.table import LIVE_WINDOW_S

WINDOWS: Mapping[str, float] = {
    "15m": LIVE_WINDOW_S,
    "1h": 3_600.0,
    "24h": 86_400.0,
    "30d": 30 * 86_400.0,
}
"""Seconds of each window."""


def within(history: np.ndarray, *, seconds: float, now: float) -> np.ndarray:
    """The records of a history (n,) RECORD that happened in the ``seconds`` before ``now`` (epoch seconds)."""
    until = microseconds(now)
    since = until - microseconds(seconds)
    found: np.ndarray = history[(history["time"] > since) & (history["time"] <= until)]
    return found


def spent_in(records: np.ndarray) -> float:
    """What the purchases among records were worth together, to the cent; one without a value counts nothing."""
    purchases = records["value"][records["type"] == TYPE_CODE["purchase"]]
    return round(float(np.nansum(purchases, dtype=np.float64)), 2)
