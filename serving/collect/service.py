"""What the collect application does with a batch of events: check each, store, fold into the profiles, then say 202."""

import asyncio
import datetime as dt
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from serving import metrics
from serving.http.front import Answer, Request
from serving.http.problems import ProblemError, invalid, reason, shown
from serving.http.schemas import EventBatch, EventIn
from serving.writer import GroupWriter
from tailorbird.errors import TailorbirdError
from tailorbird.events.schema import Event

FUTURE_SECONDS = 300.0
"""How far a sender's clock may run ahead of ours."""
OLDEST = dt.datetime(1990, 1, 1, tzinfo=dt.UTC).timestamp()
_EVENT = TypeAdapter(EventIn)


@dataclass(frozen=True)
class Checked:
    """A batch after its checks: kept + rejected = what came."""

    kept: list[Event]
    rejected: list[dict[str, Any]]
    warnings: list[dict[str, Any]]


class CollectService:
    """Stores events and keeps the profiles live."""

    def __init__(
        self,
        writer: GroupWriter,
        *,
        known_items: Callable[[], Collection[str]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._writer, self._known_items, self._clock = writer, known_items, clock

    async def collect(self, request: Request) -> Answer:
        """POST /v1/events."""
        started, now = time.perf_counter(), self._clock()
        try:
            batch = EventBatch.model_validate_json(request.body).batch
        except ValidationError as error:
            raise invalid(error) from None
        checked = check(batch, now=now, known_items=self._known_items())
        accepted = duplicates = 0
        folded = True
        if checked.kept:
            try:
                written = await asyncio.wrap_future(self._writer.write(checked.kept))
            except TailorbirdError as error:
                metrics.failures.labels("event_log").inc()
                raise ProblemError(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    "not-stored",
                    f"nothing of this batch was stored: {error.what}",
                    remedy="send it again: an event that was stored before is not stored twice",
                ) from error
            accepted, duplicates, folded = written.accepted, written.duplicates, written.folded
        for outcome, count in (
            ("accepted", accepted),
            ("duplicate", duplicates),
            ("rejected", len(checked.rejected)),
        ):
            metrics.events.labels(outcome).inc(count)
        return Answer(
            orjson.dumps(
                {
                    "accepted": accepted,
                    "duplicates": duplicates,
                    "rejected": checked.rejected,
                    "warnings": checked.warnings,
                    "profileDelayed": not folded,
                    "tookMs": round((time.perf_counter() - started) * 1000, 3),
                }
            ),
            HTTPStatus.ACCEPTED,
        )


def check(batch: Sequence[Any], *, now: float, known_items: Collection[str]) -> Checked:
    """Check every event by itself: one bad event costs the others nothing."""
    checked = Checked([], [], [])
    for index, raw in enumerate(batch):
        try:
            event = _event(_EVENT.validate_python(raw), now=now)
        except ValidationError as error:
            checked.rejected.append({"index": index, "reason": reason(error)})
            continue
        except (ValueError, OverflowError) as error:
            checked.rejected.append({"index": index, "reason": str(error)})
            continue
        checked.kept.append(event)
        if event.item_id is not None and event.item_id not in known_items:
            remark = f"unknown item {shown(event.item_id)}: stored, of use once the catalogue holds it"
            checked.warnings.append({"index": index, "reason": remark})
    return checked


def _event(sent: EventIn, *, now: float) -> Event:
    happened = now
    if sent.timestamp is not None:
        when = sent.timestamp if sent.timestamp.tzinfo else sent.timestamp.replace(tzinfo=dt.UTC)
        happened = when.timestamp()
        if happened > now + FUTURE_SECONDS:
            raise ValueError(f"/timestamp: {sent.timestamp.isoformat()} lies in the future")
        if happened < OLDEST:
            raise ValueError(f"/timestamp: {sent.timestamp.isoformat()} is too old to be true")
    if sent.type == "slate":
        raise ValueError("/type: slate is written by serving itself")
    return Event(
        message_id=sent.message_id,
        type=sent.type,
        event_time=min(happened, now),
        received_time=now,
        user_id=sent.user_id,
        anonymous_id=sent.anonymous_id,
        session_id=sent.session_id,
        item_id=sent.item_id,
        recommendation_id=sent.recommendation_id,
        position=sent.position,
        value=sent.value,
        context=sent.context,
        properties=sent.properties,
    )
