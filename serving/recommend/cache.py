"""The result cache: rankings by (arm, user, profile version, model version, request). Filters run after it, on every hit."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from tailorbird.catalog.catalog import Catalog
from tailorbird.slate.query import Ranking

Key = tuple[str, str, str, str, bytes]
"""The last is the request's digest: a key stays small whatever the request."""


class Rankings(Protocol):
    """Where rankings are kept for a while; ``catalog`` is what their rows are of, ``now`` epoch seconds."""

    def get_many(self, keys: Sequence[Key], *, now: float, catalog: Catalog) -> list[Ranking | None]:
        """The rankings kept under ``keys``; None for one that is not there or too old."""

    def put_many(self, rankings: Sequence[tuple[Key, Ranking]], *, now: float, catalog: Catalog) -> None:
        """Keep rankings."""


class RankingCache:
    """Keeps rankings for ``seconds``; features move with the clock, so a ranking must not grow old."""

    def __init__(self, *, seconds: float, capacity: int = 2_000) -> None:
        self._seconds, self._capacity = seconds, capacity
        self._kept: OrderedDict[Key, tuple[float, Ranking]] = OrderedDict()  # the oldest first

    def __len__(self) -> int:
        return len(self._kept)

    def get_many(self, keys: Sequence[Key], *, now: float, catalog: Catalog) -> list[Ranking | None]:
        """The rankings kept under ``keys``; None for one that is not there or too old."""
        return [self.get(key, now=now) for key in keys]

    def put_many(self, rankings: Sequence[tuple[Key, Ranking]], *, now: float, catalog: Catalog) -> None:
        """Keep rankings."""
        for key, ranking in rankings:
            self.put(key, ranking, now=now)

    def get(self, key: Key, *, now: float) -> Ranking | None:
        """The ranking kept under ``key``, unless it is too old."""
        self._drop_old(now)
        found = self._kept.get(key)
        return found[1] if found else None

    def put(self, key: Key, ranking: Ranking, *, now: float) -> None:
        """Keep a ranking; what is too old makes room, then the oldest."""
        self._drop_old(now)
        self._kept.pop(key, None)
        self._kept[key] = (now, ranking)
        if len(self._kept) > self._capacity:
            self._kept.popitem(last=False)

    def _drop_old(self, now: float) -> None:
        while self._kept:
            made = next(iter(self._kept.values()))[0]
            if 0 <= now - made <= self._seconds:  # a clock that was set back leaves nothing behind
                return
            self._kept.popitem(last=False)
