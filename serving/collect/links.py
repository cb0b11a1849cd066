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
from tailorbird.catalog.keys import stable_key
from tailorbird.errors import TailorbirdError
from tailorbird.events.schema import IDENTIFY, UNLINK, Event, user_key
from tailorbird.features.consent.links import NO_LINKS, Links

log = logging.getLogger("ray.serve.tailorbird")
TICK_SECONDS = 1e-6


class LinkService:
    """What ``POST`` and ``DELETE /v1/users/{id}/merge`` do. The same word twice changes nothing; ``noted`` writes down who said it first."""

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
        links = await asyncio.to_thread(self._links, named)
        known = links.newest.get(named.anonymous_id or "")
        event = replace(event, event_time=max(now, known.time / 1e6 + TICK_SECONDS if known else 0.0))
        try:
            if not (known and known.joined == joined and await asyncio.to_thread(self._stands, named)):
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

    def _links(self, event: Event) -> Links:
        """What was said of the user's ids until now; nothing where that is not known."""
        try:
            return self._links_of(event.user_key)
        except TailorbirdError as error:
            log.warning("the last word on a link is not known, the clock decides alone: %s", error)
            return NO_LINKS

    def _stands(self, event: Event) -> bool:
        """Whether a word that was the last on a link changes nothing: nobody else has the device now."""
        if event.type == UNLINK:
            return True
        device = user_key(user_id=None, anonymous_id=event.anonymous_id)
        try:
            return self._links_of(device).handovers.owner == stable_key(event.user_key)
        except TailorbirdError:
            return False
