"""The features of a request's context: the clock, the device, the referrer."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import orjson

from tailorbird.features.table import CONTEXT_FEATURES, DEVICES, REFERRERS

_AT = {name: position for position, name in enumerate(CONTEXT_FEATURES)}
_DAY = 86_400.0
HOUR_S = 3_600.0
_PLACES = len(DEVICES) + 1  # 0 where it is not known


def context_vector(context: Mapping[str, object] | None, *, now: float) -> np.ndarray:
    """Compute (len(CONTEXT_FEATURES),) float32; ``context`` may name ``device`` and ``referrer``."""
    x = np.zeros(len(CONTEXT_FEATURES), np.float32)
    days = now / _DAY
    hour = 2 * math.pi * (days % 1.0)
    weekday = (int(days // 1) + 3) % 7  # the epoch was a Thursday; Monday is 0
    circle = 2 * math.pi * weekday / 7
    x[:4] = (math.sin(hour), math.cos(hour), math.sin(circle), math.cos(circle))
    x[_AT["weekend"]] = weekday >= 5
    if context:
        _mark(x, "device", context.get("device"), DEVICES)
        _mark(x, "referrer", context.get("referrer"), REFERRERS)
    return x


def context_bucket(context: Mapping[str, object] | None, *, now: float) -> str:
    """What :func:`context_vector` can tell apart of a context, within the hour: its setting and the hour, ``6/482133``.

    Everything that no feature reads, unknown devices and referrers among it, makes no difference.
    """
    return f"{setting_of(context)}/{int(now // HOUR_S)}"


def _mark(x: np.ndarray, name: str, value: object, known: tuple[str, ...]) -> None:
    if isinstance(value, str) and value.lower() in known:
        x[_AT[f"{name}_{value.lower()}"]] = 1.0


def setting_of(context: Mapping[str, object] | None) -> int:
    """Device and referrer of an event in one byte: ``device + 4 referrer``, each its place from 1, 0 where it is not known."""
    if not context:
        return 0
    device, referrer = context.get("device"), context.get("referrer")
    return _place(device, DEVICES) + _PLACES * _place(referrer, REFERRERS)


def settings_of(texts: Sequence[str | None]) -> np.ndarray:
    """(n,) uint8 of contexts as a log keeps them: JSON, or None; what is no object says nothing."""
    return np.array([setting_of(_read(text)) for text in texts], np.uint8)


def _read(text: str | None) -> Mapping[str, object] | None:
    try:
        found = orjson.loads(text) if text else None
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _place(value: object, known: tuple[str, ...]) -> int:
    return known.index(value.lower()) + 1 if isinstance(value, str) and value.lower() in known else 0
