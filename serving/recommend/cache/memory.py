"""Where rankings are kept for a while: in the memory of a replica here, in Redis in shared.py."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from tailorbird.catalog.catalog import Catalog
from tailorbird.slate.query import Ranking


class Key(NamedTuple):
    """What a ranking is for; small whatever the request, which is a digest here."""

    settings: bytes
    """Of the slates, those that decide about rankings."""
    user: str
    model: str
    context: str
    request: bytes


class Kept(NamedTuple):
    """A ranking, the person's version that it was made of, and the instants (epoch seconds) between which it holds."""

    person: str
    ranking: Ranking
    made: float
    until: float

    def holds(self, now: float) -> bool:
        """Whether it may be used; a clock that was set back leaves nothing that never ages."""
        return self.made <= now < self.until


class Found(NamedTuple):
    """What a look found: a ranking, or none; ``moved`` where there is one of another version of the person."""

    ranking: Ranking | None = None
    moved: bool = False


class Rankings(Protocol):
    """Where rankings are kept for a while; ``catalog`` is what their rows are of, ``now`` epoch seconds."""

    def get_many(self, asked: Sequence[tuple[Key, str]], *, now: float, catalog: Catalog) -> list[Found]:
        """What is kept under each key for that version of the person."""

    def put_many(self, made: Sequence[tuple[Key, Kept]], *, now: float, catalog: Catalog) -> None:
        """Keep rankings, each until its own instant; one of another version of the person goes."""


class RankingCache:
    """Keeps the latest ``capacity`` rankings in memory, and none of whoever is ``forgotten``: a set that is another once it changed."""

    def __init__(self, *, capacity: int = 2_000, forgotten: Callable[[], frozenset[str]] = frozenset) -> None:
        self._capacity, self._forgotten = capacity, forgotten
        self._seen: frozenset[str] = frozenset()
        self._kept: OrderedDict[Key, Kept] = OrderedDict()  # the oldest first

    def __len__(self) -> int:
        return len(self._kept)

    def get_many(self, asked: Sequence[tuple[Key, str]], *, now: float, catalog: Catalog) -> list[Found]:
        """What is kept under each key for that version of the person."""
        self._drop_old(now)
        return [self._get(key, person, now=now) for key, person in asked]

    def put_many(self, made: Sequence[tuple[Key, Kept]], *, now: float, catalog: Catalog) -> None:
        """Keep rankings; what is too old makes room, then the oldest."""
        self._drop_old(now)
        for key, kept in made:
            if key.user in self._seen:
                continue
            self._kept.pop(key, None)
            self._kept[key] = kept
            if len(self._kept) > self._capacity:
                self._kept.popitem(last=False)

    def _get(self, key: Key, person: str, *, now: float) -> Found:
        kept = self._kept.get(key)
        if kept is None or not kept.holds(now):
            return Found()
        return Found(kept.ranking) if kept.person == person else Found(moved=True)

    def _drop_old(self, now: float) -> None:
        """From the oldest on; one that holds shorter than those before it waits for them, unseen."""
        forgotten = self._forgotten()
        if forgotten is not self._seen:
            self._seen = forgotten
            for key in [key for key in self._kept if key.user in forgotten]:
                del self._kept[key]
        while self._kept and not next(iter(self._kept.values())).holds(now):
            self._kept.popitem(last=False)
