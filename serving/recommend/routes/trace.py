"""GET /v1/recommendations/{id}/trace: looks an answer up and explains it, in a thread of its own, few at a time."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from http import HTTPStatus

import orjson

from serving.http.front import Answer, Request
from serving.http.problems import ProblemError, shown
from serving.recommend.arms.arms import ServedArms
from tailorbird.audit.record import READ_TRACE, caller, record
from tailorbird.errors import TailorbirdError
from tailorbird.events.schema import Event
from tailorbird.exposures.exposure import Exposure, instant_of
from tailorbird.exposures.past import events_of_person
from tailorbird.exposures.trace import trace_of
from tailorbird.features.demographics import NOBODY, Demographics
from tailorbird.features.history.facts import ItemFacts
from tailorbird.settings import Settings
from tailorbird.slate.recommender import Recommender
from tailorbird.streams.stream import Stream

AT_ONCE = 4
"""Traces that a replica takes at a time; they are made one after the other, so that answers keep their time."""
BREATH_SECONDS = 0.002
WRITTEN_WITHIN_SECONDS = 1.0
"""By then an answer's exposure is in the stream: whoever asks for a younger one waits until it is."""


def recommender_of(arms: ServedArms, arm: str, version: str) -> Recommender | None:
    """What answers with ``version`` of the model now, as ``arm`` does where it has it; None where nothing does."""
    served = arms.current(arm)
    if version and not served.stands_in and served.recommender.version == version:
        return served.recommender
    standings = sorted(arms.standings(), key=lambda standing: standing.arm.name != arm)
    return next((each.recommender for each in standings if version and each.version == version), None)


def note_reading(settings: Settings, key: str, exposure: Exposure) -> None:
    """Write down in the audit log whose answer was looked at, and by which key. Raises AuditAwayError."""
    known = exposure.user_id is not None or exposure.anonymous_id is not None
    person = exposure.user_key if known else ""
    record(settings, who=caller(key), what=READ_TRACE, person=person, whom=exposure.recommendation_id)


class TraceService:
    """Explains answers that were given, from the streams alone: a restart or a compaction in between changes nothing."""

    def __init__(
        self,
        exposures: Stream[Exposure],
        events: Stream[Event],
        *,
        noted: Callable[[str, Exposure], object],
        recommender_of: Callable[[str, str], Recommender | None],
        facts: Callable[[], ItemFacts],
        demographics: Callable[[str], Demographics] = lambda key: NOBODY,
        history_length: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``noted`` writes down who (the id of a key) read which; ``recommender_of`` finds what answers for an arm with a version of the model, None where it is not loaded."""
        self._exposures, self._events, self._noted = exposures, events, noted
        self._recommender_of, self._facts = recommender_of, facts
        self._demographics, self._history_length, self._clock = demographics, history_length, clock
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="trace")
        self._places = threading.Semaphore(AT_ONCE)

    async def trace(self, request: Request) -> Answer:
        """Explain the answer that the path names."""
        if not self._places.acquire(blocking=False):
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "busy",
                f"{AT_ONCE} traces are being made already",
                remedy="ask again in a moment",
            )
        made: Future[bytes] = self._pool.submit(partial(self._made, request.argument, key=request.key))
        made.add_done_callback(lambda done: self._places.release())
        # Shielded: a caller who hangs up must not cancel what the thread is at.
        return Answer(await asyncio.shield(asyncio.wrap_future(made)))

    def close(self) -> None:
        """End the thread once it is done with what it is at."""
        self._pool.shutdown(cancel_futures=True)

    def _made(self, recommendation_id: str, *, key: str) -> bytes:
        started = time.perf_counter()
        try:
            exposure = self._found(recommendation_id)
            if exposure is not None:
                self._noted(key, exposure)  # before it is shown: nobody reads what is not written down
            past = [] if exposure is None else self._past(exposure)
        except TailorbirdError as error:
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE, "streams-away", error.what, remedy=error.remedy
            ) from error
        if exposure is None:
            raise ProblemError(
                HTTPStatus.NOT_FOUND,
                "unknown-recommendation",
                f"no answer {shown(recommendation_id)}",
                remedy="send a recommendationId of this workspace",
            )
        trace = trace_of(
            exposure,
            events=past,
            facts=self._facts(),
            recommender=self._recommender_of(exposure.arm, exposure.model_version),
            demographics=self._demographics(exposure.user_key),
            history_length=self._history_length,
            breathe=lambda: time.sleep(BREATH_SECONDS),
        )
        return orjson.dumps({**trace, "tookMs": round((time.perf_counter() - started) * 1000, 3)})

    def _found(self, recommendation_id: str) -> Exposure | None:
        made_at = instant_of(recommendation_id)
        young = made_at is not None and 0 <= self._clock() - made_at < WRITTEN_WITHIN_SECONDS
        give_up = time.monotonic() + (WRITTEN_WITHIN_SECONDS if young else 0.0)
        while (found := self._exposures.find(recommendation_id)) is None and time.monotonic() < give_up:
            time.sleep(0.05)
        return found

    def _past(self, exposure: Exposure) -> list[Event]:
        if exposure.user_id is None and exposure.anonymous_id is None:
            return []
        return events_of_person(self._events, exposure.user_key)
