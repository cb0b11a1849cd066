"""The champion: follows a registry alias, opens and warms the bundle it points at, and swaps it in with one assignment."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from serving.recommend.builder import RecommenderBuilder
from tailorbird.errors import TailorbirdError
from tailorbird.slate.query import Query
from tailorbird.slate.recommender import Recommender

log = logging.getLogger("ray.serve.tailorbird")
RETRY_SECONDS = 30.0
"""A refused bundle is tried again after this long: a disk may have come back."""
WARM_QUERIES = 32
WARM_ROUNDS = 3


@dataclass(frozen=True)
class Release:
    """A version that an alias points at, and the folder of its bundle."""

    version: str
    folder: Path


class ReleaseSource(Protocol):
    """Where the alias is looked up."""

    def current(self) -> Release | None:
        """The release the alias points at; None where it points nowhere. Raises when the registry is away."""


class Champion:
    """One replica's recommender. ``current`` is replaced as a whole, so a request sees one version from start to end."""

    def __init__(
        self,
        source: ReleaseSource,
        builder: RecommenderBuilder,
        *,
        poll_seconds: float,
        refresh_seconds: float,
        on_swap: Callable[[str, str], object] = lambda outcome, version: None,
    ) -> None:
        self._source, self._builder = source, builder
        self._poll_seconds, self._refresh_seconds = poll_seconds, refresh_seconds
        self._on_swap = on_swap
        self._recent: deque[Query] = deque(maxlen=WARM_QUERIES)
        self._refused: tuple[str, float] = ("", 0.0)
        self._stop = threading.Event()
        self.trouble = ""
        """Why the newest release is not the one that serves; "" when it is."""
        self.current: Recommender = builder.without_model("no model is promoted yet")
        self._refreshed = time.monotonic()
        self._thread = threading.Thread(target=self._watch, name="alias-watcher", daemon=True)

    def start(self) -> None:
        """Load what the alias points at now, then keep watching it."""
        self.check()
        self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def remember(self, query: Query) -> None:
        """Keep a real request to warm the next version with."""
        self._recent.append(query)

    def check(self) -> None:
        """Look at the alias once; swap when it points somewhere new. Never raises: what serves keeps serving."""
        try:
            release = self._source.current()
        except Exception as error:
            self.trouble = f"the registry is away: {error}"
            log.warning("%s; version %r keeps serving", self.trouble, self.current.version)
            return
        if release is None:
            self._without("no version has the alias yet")
        elif release.version == self.current.version:
            self.trouble = ""
        elif not self._waits(release.version):
            self._swap(release)

    def refresh(self) -> None:
        """Bring stock and item features up to date, in a copy that takes the old one's place."""
        try:
            self.current = self._builder.refreshed(self.current)
        except Exception as error:
            log.warning("item features stay as they were: %s", error)

    def _without(self, why: str) -> None:
        self.trouble = why
        if not self.current.version and self.current.trouble != why:
            self.current = self._builder.without_model(why)

    def _swap(self, release: Release) -> None:
        started = time.perf_counter()
        try:
            fresh = self._builder.with_bundle(release.folder, version=release.version)
            self._warm(fresh)
        except Exception as error:
            self._refused = (release.version, time.monotonic() + RETRY_SECONDS)
            what = str(error) if isinstance(error, TailorbirdError) else repr(error)
            self.trouble = f"version {release.version} is refused: {what}"
            log.warning("%s; version %r keeps serving", self.trouble, self.current.version)
            if not self.current.version:
                self.current = self._builder.without_model(self.trouble)
            self._on_swap("refused", release.version)
            return
        before, self.current, self.trouble = self.current.version, fresh, ""
        log.info(
            "version %r replaces %r after %.2f s", release.version, before, time.perf_counter() - started
        )
        self._on_swap("swapped", release.version)

    def _warm(self, fresh: Recommender) -> None:
        queries: Sequence[Query] = list(self._recent) or self._builder.sample_queries(fresh)
        for _ in range(WARM_ROUNDS):
            for query in queries:
                slate = fresh.recommend(query)
                if slate.failure:
                    raise RuntimeError(f"a warm-up request failed: {slate.failure}")

    def _waits(self, version: str) -> bool:
        refused, until = self._refused
        return refused == version and time.monotonic() < until

    def _watch(self) -> None:
        while not self._stop.wait(self._poll_seconds):
            self.check()
            if time.monotonic() - self._refreshed >= self._refresh_seconds:
                self.refresh()
                self._refreshed = time.monotonic()
