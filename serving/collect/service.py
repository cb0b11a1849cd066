"""What the collect application does with a batch of events: check each, store, fold into the profiles, then say 202."""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from http import HTTPStatus
from typing import Any

import orjson

from serving import metrics
from serving.collect.door import check
from serving.collect.fold import ProfileFolder
from serving.http.bodies import parse_body
from serving.http.front import Answer, Request
from serving.http.problems import ProblemError, not_stored
from serving.http.schemas import EventBatch
from serving.lasting import dead
from serving.writer import GroupWriter
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.events.contract import Fields
from tailorbird.features.consent.consents import with_refused
from tailorbird.privacy.policy.policy import PolicyNow, by_default

ERASED = "this person was erased: nothing of them is stored until they consent anew"


class CollectService:
    """Stores events and keeps the profiles live."""

    def __init__(
        self,
        writer: GroupWriter,
        folder: ProfileFolder,
        *,
        workspace: str,
        known_items: Callable[[], Collection[str]],
        policy: PolicyNow = by_default,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._policy = policy
        self._writer, self._folder, self._workspace = writer, folder, workspace
        self._known_items, self._clock = known_items, clock

    def dead_threads(self) -> list[str]:
        """Names of the threads that this replica cannot go on without and that have died."""
        return dead((self._writer.thread, self._folder.thread))

    async def health(self, request: Request) -> Answer:
        """GET /v1/events/health: how the replica that answers is; 503 once it has lost a thread."""
        lost = self.dead_threads()
        problems = [f"the thread {name} has died: this replica is about to be replaced" for name in lost]
        if self._folder.behind:
            why = self._folder.trouble
            problems.append(
                f"profiles lag behind the event log: they follow once the feature store is back{why and f' ({why})'}"
            )
        # In a thread: engines on other machines take a while to be away.
        if trouble := await asyncio.to_thread(lambda: self._writer.trouble):
            problems.append(trouble)
        status = "failed" if lost else "degraded" if problems else "ready"
        return Answer(
            orjson.dumps({"status": status, "workspace": self._workspace, "problems": problems}),
            HTTPStatus.SERVICE_UNAVAILABLE if lost else HTTPStatus.OK,
        )

    def _with_signals(self, request: Request, events: Sequence[Fields]) -> Sequence[Fields]:
        """The events with what the sender's browser refuses, in their context."""
        gpc, dnt = request.header(b"sec-gpc") == b"1", request.header(b"dnt") == b"1"
        refused = self._policy().turned_off(gpc=gpc, dnt=dnt) if gpc or dnt else ()
        if not refused:
            return events
        return [event._replace(context=with_refused(event.context or {}, refused)) for event in events]

    async def collect(self, request: Request) -> Answer:
        """POST /v1/events."""
        started, now = time.perf_counter(), self._clock()
        sent = parse_body(EventBatch, request.body)
        checked = check(
            sent.batch,
            now=now,
            known_items=self._known_items(),
            sent_at=None if sent.sent_at is None else sent.sent_at.timestamp(),
        )
        kept = self._with_signals(request, checked.kept)
        accepted = duplicates = 0
        folded, refused = True, list[dict[str, Any]]()
        if kept:
            try:
                written = await asyncio.wrap_future(self._writer.write(kept))
            except UsageError as error:
                raise ProblemError(
                    HTTPStatus.UNPROCESSABLE_ENTITY,
                    "not-storable",
                    f"nothing of this batch was stored: {error.what}",
                    remedy="correct the event, then send the batch again",
                ) from error
            except TailorbirdError as error:
                metrics.failures.labels("event_log").inc()
                raise not_stored(
                    f"this batch was not stored whole: {error.what}",
                    remedy="send it again: an event that was stored before is not stored twice",
                ) from error
            accepted, duplicates, folded = written.accepted, written.duplicates, written.folded
            refused = _refused(sent.batch, written.refused)
        for outcome, count in (
            ("accepted", accepted),
            ("duplicate", duplicates),
            ("rejected", len(checked.rejected)),
            ("suppressed", len(refused)),
        ):
            metrics.events.labels(outcome).inc(count)
        return Answer(
            orjson.dumps(
                {
                    "accepted": accepted,
                    "duplicates": duplicates,
                    "rejected": [*checked.rejected, *refused],
                    "warnings": checked.warnings,
                    "profileDelayed": not folded,
                    "tookMs": round((time.perf_counter() - started) * 1000, 3),
                }
            ),
            HTTPStatus.ACCEPTED,
        )


def _refused(batch: Sequence[Any], messages: Collection[str]) -> list[dict[str, Any]]:
    """What to say of events of erased people, which fell."""
    return [
        {"index": index, "reason": ERASED}
        for index, raw in enumerate(batch)
        if messages and isinstance(raw, dict) and raw.get("messageId") in messages
    ]
