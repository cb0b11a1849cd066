"""Shadows: arms that answer what the champion was asked, in a thread of their own that gives way, and are shown to nobody."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from serving.lasting import LastingThread
from serving.recommend.arms.arms import ServedArms
from serving.recommend.arms.served import Served
from serving.recommend.request.visit import Drawn
from tailorbird.errors import TailorbirdError
from tailorbird.experiments.arm import CHAMPION
from tailorbird.experiments.running.assigning import Shadow
from tailorbird.experiments.running.buckets import hashed
from tailorbird.experiments.shadow.comparing import MISSING, Sums, compared
from tailorbird.experiments.shadow.tallies import GROUPS, Tallies
from tailorbird.slate.query import Query, Slate
from tailorbird.slate.recommender import Recommender

log = logging.getLogger("ray.serve.tailorbird")
CAPACITY = 16
"""Questions that may wait for a shadow: what is more is dropped, for none of them is missed."""
REST = 49.0
"""For one second of work so many of rest: a fiftieth of one processor answers some questions a second; a tenth was felt by those who ask."""
PAUSE_SECONDS = 0.02
FLUSH_SECONDS = 5.0


class _Asked(NamedTuple):
    """A question that the champion answered, and the group that who asked falls into."""

    shadows: tuple[Shadow, ...]
    query: Query
    group: int


class Shadows:
    """Takes questions as they were answered, asks shadows and the champion again side by side, and adds up how they compare.

    Both answer here, by turns first, from the same profile, without result cache and exploration: so their processor time can be compared.
    Nothing of it is an exposure, or reaches whoever asked. A question for which the shadow is too busy is dropped and counted.
    """

    def __init__(
        self,
        arms: ServedArms,
        tallies: Tallies,
        *,
        capacity: int = CAPACITY,
        rest: float = REST,
        pause_seconds: float = PAUSE_SECONDS,
        flush_seconds: float = FLUSH_SECONDS,
        on_outcome: Callable[[str, int], object] = lambda outcome, count: None,
    ) -> None:
        self._arms, self._tallies = arms, tallies
        self._capacity, self._rest = capacity, rest
        self._pause, self._flush_seconds = pause_seconds, flush_seconds
        self._outcome = on_outcome
        self._waiting: deque[_Asked] = deque()
        self._busy: deque[str] = deque(
            maxlen=100_000
        )  # keys of what was dropped, until the thread has counted them
        self._sums: dict[tuple[str, int], Sums] = {}
        self._dropped: dict[str, int] = {}
        self._turn = False
        self._closing = threading.Event()
        self.thread = LastingThread(self._run, name="shadows")

    def offer(self, drawn: Drawn) -> None:
        """Take what was answered, where a shadow is to answer it too; never waits and never fails."""
        shadows = drawn.visit.shadows
        if not shadows or drawn.visit.arm != CHAMPION or not drawn.profile_read or drawn.refused:
            return
        if len(self._waiting) >= self._capacity:
            self._busy.extend(each.key for each in shadows)
            return
        query = replace(drawn.query, draw_id="", explain=False)
        self._waiting.append(_Asked(shadows, query, hashed(drawn.visit.user_key.encode()) % GROUPS))

    def close(self) -> None:
        """Let what waits go, write down what was added up, and end the thread."""
        self._closing.set()
        self.thread.join(timeout=30)

    def _run(self) -> None:
        import faiss

        faiss.omp_set_num_threads(1)  # of this thread
        flushed = time.monotonic()
        while not self._closing.wait(self._pause):
            while self._waiting and not self._closing.is_set():
                started = time.perf_counter()
                self._answer(self._waiting.popleft())
                self._closing.wait(self._rest * (time.perf_counter() - started))
            if time.monotonic() - flushed >= self._flush_seconds:
                self._flush()
                flushed = time.monotonic()
        self._flush()

    def _answer(self, asked: _Asked) -> None:
        for shadow in asked.shadows:
            served = self._arms.current(shadow.arm)
            if served.stands_in and all(each.key != shadow.key for each in self._arms.assignment.entries):
                continue  # it was stopped while the question waited
            try:
                found = MISSING if served.stands_in else self._compared(served, asked.query)
            except Exception:
                log.exception("shadow %s failed", shadow.key)
                found = Sums(asked=1.0, failed=1.0)
            place = (shadow.key, asked.group)
            self._sums[place] = self._sums.get(place, Sums()).plus(found)
            self._outcome("missing" if found.missing else "failed" if found.failed else "compared", 1)

    def _compared(self, served: Served, query: Query) -> Sums:
        both = (served.recommender, self._arms.champion)
        self._turn = not self._turn  # whoever comes second finds tables in the processor's caches
        order = (0, 1) if self._turn else (1, 0)
        taken = {at: _timed(both[at], query) for at in order}
        (shadow, seconds), (control, control_seconds) = taken[0], taken[1]
        return compared(shadow, control, seconds=seconds, control_seconds=control_seconds)

    def _flush(self) -> None:
        for _ in range(len(self._busy)):
            key = self._busy.popleft()
            self._dropped[key] = self._dropped.get(key, 0) + 1
            self._outcome("dropped", 1)
        try:
            self._tallies.add(self._sums, self._dropped)
        except (
            TailorbirdError,
            OSError,
        ) as error:  # kept until it can be written: a few numbers an experiment
            log.warning("what shadows did waits: %s", error)
            return
        self._sums, self._dropped = {}, {}


def _timed(recommender: Recommender, query: Query) -> tuple[Slate, float]:
    """An answer, and the processor's seconds of this thread that it took."""
    started = time.thread_time()
    slate = recommender.recommend(query)
    return slate, time.thread_time() - started
