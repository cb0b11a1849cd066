"""What pages and applications say of a person's consent: one event, durable and in the live profile before the answer."""

import asyncio
import logging
import time
from collections.abc import Callable
from http import HTTPStatus

from serving import metrics
from serving.http.consents import Consented, ConsentTold
from serving.http.problems import ProblemError, not_stored
from serving.writer import GroupWriter
from tailorbird.audit.record import CONSENT, caller
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.privacy.policy.policy import PolicyNow

log = logging.getLogger("ray.serve.tailorbird")


class ConsentService:
    """Stores words as ``PUT /v1/users/{id}/consent`` of the public port brings them; ``noted`` writes down who said which.

    It tells nobody's history, and lets no erased person back: both are admin's.
    """

    def __init__(
        self,
        writer: GroupWriter,
        *,
        policy: PolicyNow,
        newest_of: Callable[[str], int],
        person_of: Callable[[str, bool], str],
        noted: Callable[..., object],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._writer, self._policy, self._clock = writer, policy, clock
        self._newest_of, self._person_of, self._noted = newest_of, person_of, noted

    async def say(self, identifier: str, told: ConsentTold, *, anonymous: bool, key: str = "") -> Consented:
        """Store a word that came with the key of an id. Raises ProblemError where it is none, or could not be stored."""
        now, person = self._clock(), self._person_of(identifier, anonymous)
        newest = await asyncio.to_thread(self._newest, person)
        try:
            policy = self._policy()
            said = told.said_by(policy.tcf)
            event = said.event(identifier, anonymous=anonymous, known=policy.purposes, now=now, newest=newest)
            await asyncio.to_thread(
                self._noted,
                who=caller(key),
                what=CONSENT,
                person=person,
                detail={"purposes": dict(said.purposes)},
            )
            written = await asyncio.wrap_future(self._writer.write([event]))
        except UsageError as error:
            raise ProblemError(
                HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request", error.what, remedy=error.remedy
            ) from error
        except TailorbirdError as error:
            metrics.failures.labels("event_log").inc()
            raise not_stored(
                f"the word was not stored: {error.what}", remedy="send it again: the newest counts"
            ) from error
        if written.refused:
            raise ProblemError(
                HTTPStatus.CONFLICT,
                "erased",
                "this person was erased: nothing of them is stored",
                remedy="a consent to personalization over the admin application lets them back",
            )
        return Consented(user_id=identifier, purposes=dict(said.purposes), profile_delayed=not written.folded)

    def _newest(self, person: str) -> int:
        """When the last thing was done or said under this very key, epoch microseconds; 0 where none is known."""
        try:
            return self._newest_of(person)
        except TailorbirdError as error:
            log.warning("what a person did last is not known, the clock decides alone: %s", error)
            return 0
