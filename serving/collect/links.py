"""Joins an anonymous id's profile to a user's, and parts them again: one event each, durable before the answer."""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import replace

from serving import metrics
from serving.http.problems import not_stored
from serving.http.schemas import Linked
from serving.writer import GroupWriter
from tailorbird.audit.record import MERGE, PART, caller
from tailorbird.errors import TailorbirdError
from tailorbird.events.schema import IDENTIFY, UNLINK, Event
from tailorbird.features.links import Links

log = logging.getLogger("ray.serve.tailorbird")
TICK_SECONDS = 1e-6


class LinkService:
    """What ``POST`` and ``DELETE /v1/users/{id}/merge`` do. The same word twice changes nothing; ``noted`` writes down who said it."""

    def __init__(
        self,
        writer: GroupWriter,
        *,
        links_of: Callable[[str], Links],
        noted: Callable[..., object],
        named: Callable[[Event], Event] = lambda event: event,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._writer, self._links_of, self._named, self._clock = writer, links_of, named, clock
        self._noted = noted

    async def link(self, user_id: str, anonymous_id: str, *, joined: bool, key: str = "") -> Linked:
        """Store the word, which came with the key of an id, and fold it into the profile. Raises ProblemError where it could not be stored."""
        now = self._clock()
        event = Event(
            message_id=f"{IDENTIFY if joined else UNLINK}-{uuid.uuid4()}",
            type=IDENTIFY if joined else UNLINK,
            event_time=now,
            received_time=now,
            user_id=user_id,
            anonymous_id=anonymous_id,
        )
        # The newest word counts: a clock that was set back must not make this one older than the last.
        named = self._named(event)
        event = replace(event, event_time=max(now, self._newest(named) + TICK_SECONDS))
        try:
            await asyncio.to_thread(
                self._noted, who=caller(key), what=MERGE if joined else PART, person=named.user_key
            )
            written = await asyncio.wrap_future(self._writer.write([event]))
        except TailorbirdError as error:
            metrics.failures.labels("event_log").inc()
            raise not_stored(
                f"the link was not stored: {error.what}", remedy="send it again: twice is once"
            ) from error
        return Linked(
            user_id=user_id, anonymous_id=anonymous_id, merged=joined, profile_delayed=not written.folded
        )

    def _newest(self, event: Event) -> float:
        """When the last word on this id was said, epoch seconds; 0 where none is known."""
        try:
            links = self._links_of(event.user_key)
        except TailorbirdError as error:
            log.warning("the last word on a link is not known, the clock decides alone: %s", error)
            return 0.0
        known = links.newest.get(event.anonymous_id or "")
        return known.time / 1e6 if known else 0.0
