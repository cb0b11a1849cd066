"""Arrays that grow at their end: what is there is shared with who holds it, what comes is written into room behind it."""

import threading

import numpy as np

_LOCK = threading.Lock()
_LEAST_ROOM = 1_024


class _Room(np.ndarray):
    """Rows, of which the first ``used`` are somebody's."""

    used: int


def appended(array: np.ndarray, more: np.ndarray) -> np.ndarray:
    """``array`` (n, …) with the rows of ``more`` (m, …) after its own, as (n + m, …).

    The result shares memory with ``array`` where that came from here and nothing was appended to it yet; else everything is
    copied once, with room for an eighth more. Whoever holds ``array`` sees no change.
    """
    count, total = len(array), len(array) + len(more)
    with _LOCK:
        room = _room_of(array)
        if room is None or room.used != count or len(room) < total:
            room = _Room((total + max(_LEAST_ROOM, total // 8), *array.shape[1:]), array.dtype)
            np.asarray(room)[:count] = array
        room.used = total
    rows = np.asarray(room)[:total]
    rows[count:] = more
    return rows


def _room_of(array: np.ndarray) -> _Room | None:
    """The room whose first rows ``array`` is."""
    start, base = array.__array_interface__["data"][0], array.base
    while base is not None and not isinstance(base, _Room):
        base = getattr(base, "base", None)
    if base is None or base.__array_interface__["data"][0] != start or base.shape[1:] != array.shape[1:]:
        return None
    return base
