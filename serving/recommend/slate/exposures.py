"""Stores what was shown: a bounded queue and a thread of its own; an answer never waits and never fails for it."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import replace

from serving.lasting import LastingThread
from serving.recommend.request.visit import Drawn
from tailorbird.errors import TailorbirdError
from tailorbird.exposures.exposure import Exposure, in_sample
from tailorbird.exposures.record import exposure_of
from tailorbird.features.consent.standing import USUAL_BASIS, with_basis
from tailorbird.streams.stream import Stream

log = logging.getLogger("ray.serve.tailorbird")
CAPACITY = 5_000
"""Answers that may wait for the stream: some seconds of a busy replica, some tens of megabytes."""
CAPACITY_BYTES = 64_000_000
"""Bytes of the requests and answers that may wait, as JSON; objects of them take a few times as much."""
PAUSE_SECONDS = 0.05
RETRY_SECONDS = 1.0
SHOWN_SECONDS = 60.0
"""How long health speaks of exposures that were dropped."""

Make = Callable[[], Exposure]


class ExposureWriter:
    """Takes answers as they are given and stores them in batches, every ``pause_seconds``.

    What a killed process loses is what came in the last pause. While the stream is away the answers wait, up to
    ``capacity`` of them and ``capacity_bytes``; the newest are dropped then, counted and named in :attr:`trouble`.
    """

    def __init__(
        self,
        stream: Stream[Exposure],
        *,
        capacity: int = CAPACITY,
        capacity_bytes: int = CAPACITY_BYTES,
        pause_seconds: float = PAUSE_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
        on_outcome: Callable[[str, int], object] = lambda outcome, count: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream, self._capacity, self._capacity_bytes = stream, capacity, capacity_bytes
        self._pause, self._retry = pause_seconds, retry_seconds
        self._outcome, self._clock = on_outcome, clock
        self._waiting: deque[tuple[Make, int]] = deque()
        self._made: list[Exposure] = []
        self._made_bytes = 0
        # Each is counted by one thread, so that neither waits for the other.
        self._put_bytes, self._done_bytes = 0, 0
        self._away, self._dropped, self._dropped_at = "", 0, float("-inf")
        self._closing = threading.Event()
        self.thread = LastingThread(self._run, name="exposure-writer")

    def put(self, make: Make, *, size: int = 0) -> None:
        """Take one answer; ``make`` builds its exposure in the writer's thread. Where too many wait it is dropped.

        ``size`` is the bytes of the request and its answer.
        """
        waiting_bytes = self._put_bytes - self._done_bytes
        too_large = waiting_bytes > 0 and waiting_bytes + size > self._capacity_bytes
        if self.waiting >= self._capacity or too_large:
            self._drop(1)
        else:
            self._put_bytes += size
            self._waiting.append((make, size))

    @property
    def waiting(self) -> int:
        """Exposures that are not stored yet."""
        return len(self._waiting) + len(self._made)

    @property
    def trouble(self) -> str:
        """What an operator should know; "" when every answer is stored."""
        lost = self._clock() - self._dropped_at < SHOWN_SECONDS
        parts = [f"exposures are not stored: {self._away}" if self._away else ""]
        parts.append(f"{self._dropped} exposures were dropped, the last a moment ago" if lost else "")
        return "; ".join(part for part in parts if part)

    def close(self) -> None:
        """Store what waits, then end the thread; what the stream refuses now is dropped and counted."""
        self._closing.set()
        self.thread.join(timeout=30)

    def _run(self) -> None:
        while not self._closing.wait(self._retry if self._away else self._pause):
            self._flush()
        self._flush()
        self._drop(len(self._made))
        self._forget_made()

    def _flush(self) -> None:
        self._make()
        if not self._made:
            return
        try:
            self._stream.append(self._made)
        except TailorbirdError as error:
            if not self._away:
                log.warning("exposures wait: %s", error)
            self._away = str(error)
            return
        except Exception:
            log.exception("%d exposures cannot be stored", len(self._made))
            self._outcome("failed", len(self._made))
        else:
            self._outcome("stored", len(self._made))
        self._away = ""
        self._forget_made()

    def _forget_made(self) -> None:
        self._made = []
        self._done_bytes += self._made_bytes
        self._made_bytes = 0

    def _make(self) -> None:
        failed: list[Exception] = []
        for _ in range(len(self._waiting)):
            make, size = self._waiting.popleft()
            try:
                self._made.append(make())
                self._made_bytes += size
            except Exception as error:  # one answer that cannot be described must not cost the others
                failed.append(error)
                self._done_bytes += size
        if failed:
            log.error("%d exposures cannot be made", len(failed), exc_info=failed[0])
            self._outcome("failed", len(failed))

    def _drop(self, count: int) -> None:
        if count:
            self._dropped += count
            self._dropped_at = self._clock()
            self._outcome("dropped", count)


class NoExposures(ExposureWriter):
    """Keeps nothing: what benchmarks compare with."""

    def put(self, make: Make, *, size: int = 0) -> None:
        """Let it go."""


def described(
    drawn: Drawn, *, sample_share: float, took_ms: float, basis: Collection[str] = USUAL_BASIS
) -> Exposure:
    """The exposure of an answer; one of the sample has every ranker input, computed again from what never changes."""
    visit, slate, query = drawn.visit, drawn.slate, drawn.query
    stages, inputs = drawn.recommender.stages, None
    if query.item_id is not None and query.item_id not in drawn.recommender.catalog.row_of:
        query = replace(query, item_id=None)  # what is no item's name may be anybody's
    if stages is not None and slate.found is not None and in_sample(visit.recommendation_id, sample_share):
        inputs = stages.inputs(replace(query, now=slate.scored_at), slate.found)
    return exposure_of(
        slate,
        replace(query, context=with_basis(query.context, basis)),
        recommendation_id=visit.recommendation_id,
        user_id=visit.visitor.user_id,
        anonymous_id=visit.visitor.anonymous_id,
        session_id=visit.visitor.session_id,
        scenario=visit.scenario,
        arm=visit.arm,
        fallback=drawn.fallback,
        partial=slate.partial or not drawn.profile_read,
        item_ids=drawn.recommender.catalog.item_ids,
        inputs=inputs,
        experiments=visit.experiments,
        draws=visit.draws,
        took_ms=took_ms,
    )
