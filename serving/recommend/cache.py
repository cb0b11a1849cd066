"""The result cache: rankings by (arm, user, profile version, model version, request). Filters run after it, on every hit."""

from collections import OrderedDict

from tailorbird.slate.query import Ranking

Key = tuple[str, str, str, str, bytes]


class RankingCache:
    """Keeps the latest rankings for ``seconds``; features move with the clock, so a ranking must not grow old."""

    def __init__(self, *, seconds: float, capacity: int = 2_000) -> None:
        self._seconds, self._capacity = seconds, capacity
        self._kept: OrderedDict[Key, tuple[float, Ranking]] = OrderedDict()

    def get(self, key: Key, *, now: float) -> Ranking | None:
        """The ranking kept under ``key``, unless it is too old."""
        found = self._kept.get(key)
        if found is None or now - found[0] > self._seconds:
            return None
        self._kept.move_to_end(key)
        return found[1]

    def put(self, key: Key, ranking: Ranking, *, now: float) -> None:
        """Keep a ranking; the one asked for longest ago makes room."""
        self._kept[key] = (now, ranking)
        self._kept.move_to_end(key)
        if len(self._kept) > self._capacity:
            self._kept.popitem(last=False)
