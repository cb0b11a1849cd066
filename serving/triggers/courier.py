"""The courier of one target: takes what is due, at the target's pace, and notes what became of it. Nobody waits for it."""

import logging
import random
import threading
import time
from collections.abc import Callable

from feature_repo.away import FeatureStoreAwayError
from serving import metrics
from serving.lasting import LastingThread
from serving.triggers.sender import CallersIds, Outcome, Sender
from tailorbird.triggers.addresses import Allowed
from tailorbird.triggers.delivery import Delivery
from tailorbird.triggers.pace import Backoff, TokenBucket
from tailorbird.triggers.queue import DeliveryQueue
from tailorbird.triggers.trigger import Target

log = logging.getLogger("ray.serve.tailorbird")
LANES = 2
"""Deliveries of one target that are on their way at a time."""
LOOK_SECONDS = 1.0
"""How soon it finds what another process put into the queue: a dead letter that is replayed."""
PAUSE_SECONDS = 5.0
"""After an error of our own, such as a full disk: what was delivered meanwhile cannot be noted."""


class Courier:
    """Threads of one target. A target that is slow, or gone, has its own alone.

    Whoever ``refuses`` (a person key) is told of to nobody; while nobody knows who does, deliveries wait.
    """

    def __init__(
        self,
        target: Target,
        queue: DeliveryQueue,
        allowed: Allowed,
        *,
        callers_ids: CallersIds = lambda people: {},
        refuses: Callable[[str], bool] = lambda person: False,
        clock: Callable[[], float] = time.time,
        backoff: Backoff,
        rng: random.Random,
    ) -> None:
        self.target, self._refuses = target, refuses
        self._queue, self._clock, self._backoff, self._rng = queue, clock, backoff, rng
        self._sender = Sender(target, allowed, callers_ids=callers_ids, clock=clock)
        self._bucket = TokenBucket(target.per_second, clock=clock)
        self._changed, self._under_way, self._closed = threading.Condition(), set[str](), False
        self._lanes = [
            LastingThread(self._work, name=f"trigger-{target.name}-{lane}", pause_seconds=PAUSE_SECONDS)
            for lane in range(LANES)
        ]

    @property
    def alive(self) -> bool:
        """Whether its threads live."""
        return all(lane.alive for lane in self._lanes)

    def wake(self) -> None:
        """Something new may be due."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Begin nothing more; what is on its way ends by itself."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def join(self, timeout: float) -> None:
        """Wait for what is on its way after :meth:`close`, so long at most; then hang up."""
        deadline = time.monotonic() + timeout
        for lane in self._lanes:
            lane.join(max(0.0, deadline - time.monotonic()))
        self._sender.close()

    def _work(self) -> None:
        while (delivery := self._next()) is not None:
            try:
                if self._refuses(delivery.person):  # since it was queued: it is told to nobody any more
                    metrics.trigger_deliveries.labels(self.target.name, "refused").inc()
                    self._queue.delivered(delivery)
                else:
                    self._note(delivery, self._sender.send(delivery))
            except FeatureStoreAwayError as error:
                log.warning("trigger target %s waits: %s", self.target.name, error)
                with self._changed:
                    self._changed.wait(PAUSE_SECONDS)
            except Exception:
                if self._closed:  # queue and connections were closed before it ended: somebody sends it again
                    return
                raise
            finally:
                with self._changed:
                    self._under_way.discard(delivery.id)

    def _next(self) -> Delivery | None:
        """Wait for a delivery that is due and may go; None once closed."""
        with self._changed:
            while not self._closed:
                now = self._clock()
                due = self._queue.due(self.target.name, now=now, limit=len(self._under_way) + 1)
                free = [each for each in due if each.id not in self._under_way]
                if not free:
                    later = self._queue.next_at(self.target.name, after=now)
                    rest = LOOK_SECONDS if later is None else min(LOOK_SECONDS, later - now)
                    self._changed.wait(max(0.001, rest))
                elif wait := self._bucket.take():
                    self._changed.wait(wait)
                else:
                    self._under_way.add(free[0].id)
                    return free[0]
        return None

    def _note(self, delivery: Delivery, outcome: Outcome) -> None:
        name, now = self.target.name, self._clock()
        if outcome.delivered:
            metrics.trigger_deliveries.labels(name, "delivered").inc()
            self._queue.delivered(delivery)
            return
        metrics.trigger_deliveries.labels(name, "failed").inc()
        attempts = delivery.attempts + 1
        if attempts >= self.target.attempts:
            metrics.trigger_deliveries.labels(name, "dead").inc()
            log.warning(
                "trigger target %s: %s given up after %d tries: %s",
                name,
                delivery.id,
                attempts,
                outcome.reason,
            )
            self._queue.give_up(delivery, reason=outcome.reason, now=now)
            return
        asked = min(outcome.wait_seconds, self._backoff.longest_seconds)
        wait = max(asked, self._backoff.after(attempts, self._rng))
        self._queue.failed(delivery, reason=outcome.reason, next_at=now + wait)
