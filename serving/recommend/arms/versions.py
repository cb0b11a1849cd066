"""The versions a replica holds in memory: opened, verified and warmed once, however many arms share them."""

import logging
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from registry.following.follower import Release
from serving.recommend.arms.builder import RecommenderBuilder
from tailorbird.catalog.log.told import Told
from tailorbird.errors import TailorbirdError
from tailorbird.slate.query import Query
from tailorbird.slate.recommender import Recommender

log = logging.getLogger("ray.serve.tailorbird")
RETRY_SECONDS = 30.0
"""A refused bundle is tried again after this long: a disk may have come back."""
WARM_QUERIES = 32
WARM_ROUNDS = 3


@dataclass(frozen=True)
class Loaded:
    """A version in memory: its model under its recipe's own settings, and the bytes of its bundle."""

    release: Release
    recommender: Recommender
    size: int


class LoadedVersions:
    """Opens versions and keeps them; a bundle that was refused is left alone for a while."""

    def __init__(self, builder: RecommenderBuilder) -> None:
        self._builder = builder
        self._loaded: dict[str, Loaded] = {}
        self._refused: dict[str, tuple[str, float]] = {}
        self._recent: deque[Query] = deque(maxlen=WARM_QUERIES)

    def remember(self, query: Query) -> None:
        """Keep a real request to warm the next version with."""
        self._recent.append(query)

    def get(self, version: str) -> Loaded | None:
        """The version, if it is in memory."""
        return self._loaded.get(version)

    def size(self, release: Release) -> int:
        """Bytes of the release's bundle, without opening it; 0 while it cannot be read (opening will say why)."""
        loaded = self._loaded.get(release.version)
        return loaded.size if loaded else self._builder.size(release.folder)

    def refusal(self, version: str) -> str:
        """Why the version was refused a moment ago; "" where it may be tried."""
        why, until = self._refused.get(version, ("", 0.0))
        return why if time.monotonic() < until else ""

    def refuse(self, version: str, error: Exception) -> str:
        """Leave a version alone for a while; why, in words."""
        what = str(error) if isinstance(error, TailorbirdError) else repr(error)
        why = f"version {version} is refused: {what}"
        self._refused[version] = (why, time.monotonic() + RETRY_SECONDS)
        return why

    def open(self, release: Release) -> tuple[Loaded | None, str]:
        """The release in memory, or None and why it is refused. Never raises."""
        loaded = self._loaded.get(release.version)
        if loaded is not None:
            return loaded, ""
        started = time.perf_counter()
        try:
            size = self._builder.size(release.folder)
            fresh = self._builder.with_bundle(release.folder, version=release.version)
            self._warm(fresh)
        except Exception as error:
            return None, self.refuse(release.version, error)
        log.info("version %r is loaded after %.2f s", release.version, time.perf_counter() - started)
        self._refused.pop(release.version, None)
        loaded = self._loaded[release.version] = Loaded(release, fresh, size)
        return loaded, ""

    def refresh(self) -> None:
        """Bring stock and item features of every version up to date, in copies that take the old ones' place."""
        for version, loaded in list(self._loaded.items()):
            try:
                fresh = self._builder.refreshed(loaded.recommender)
            except Exception as error:
                log.warning("item features of version %r stay as they were: %s", version, error)
            else:
                self._loaded[version] = Loaded(loaded.release, fresh, loaded.size)

    def tell(self, items: Mapping[str, Told]) -> bool:
        """Tell every version what was told of items; whether one has grown by it, in a copy that takes the old one's place."""
        grown = False
        for version, loaded in list(self._loaded.items()):
            fresh = self._builder.tell_items(loaded.recommender, items)
            if fresh is not loaded.recommender:
                self._loaded[version], grown = Loaded(loaded.release, fresh, loaded.size), True
        return grown

    def keep(self, versions: Collection[str]) -> None:
        """Let go of every version but these."""
        for version in set(self._loaded) - set(versions):
            del self._loaded[version]

    def _warm(self, fresh: Recommender) -> None:
        queries: Sequence[Query] = list(self._recent) or self._builder.sample_queries(fresh)
        for _ in range(WARM_ROUNDS):
            for query in queries:
                slate = fresh.recommend(query)
                if slate.failure:
                    raise RuntimeError(f"a warm-up request failed: {slate.failure}")
