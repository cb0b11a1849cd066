"""The deliverer: follows the events of a workspace, queues what moves call for, and has a courier for each target."""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing

import pyarrow as pa

from serving import metrics
from serving.triggers.courier import Courier
from serving.triggers.refused import refused_by
from tailorbird.errors import TailorbirdError
from tailorbird.events.rows import EVENTS
from tailorbird.events.schema import MOVE, Event
from tailorbird.plumbing.alone import alone_if_free
from tailorbird.privacy.door.door import Door
from tailorbird.segments.move import Move
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events
from tailorbird.streams.position import Position
from tailorbird.streams.stream import Stream, StreamAwayError
from tailorbird.triggers.addresses import Allowed
from tailorbird.triggers.declared import TRIGGERS_FILE, TriggersFile
from tailorbird.triggers.delivery import Delivery
from tailorbird.triggers.pace import BACKOFF, Backoff
from tailorbird.triggers.queue import QUEUE_FILE, DeliveryQueue
from tailorbird.triggers.trigger import Declared

log = logging.getLogger("ray.serve.tailorbird")
LOCK_FILE = "triggers.lock"
LOOK_SECONDS = 0.5
COUNT_SECONDS = 5.0
GONE_SECONDS = 10.0
END_SECONDS = 2.0
"""For deliveries that are on their way when it ends; those it does not wait for are sent again by whoever follows."""


def follow_from_here(settings: Settings) -> None:
    """Before anything is served, note where the events end, where nobody has followed them yet: the doors open sooner than a deliverer begins."""
    if not (settings.folder / TRIGGERS_FILE).exists():
        return
    with (
        alone_if_free(settings.folder / LOCK_FILE) as mine,
        closing(DeliveryQueue(settings.folder)) as queue,
        open_events(settings) as events,
    ):
        if mine and queue.position is None:
            try:
                queue.follow(events.end(), [])
            except StreamAwayError as error:
                log.warning("triggers follow the events once these are back: %s", error)


class Deliverer:
    """Of all processes of a machine that run one, one delivers; where it ends, another goes on from what it noted."""

    def __init__(
        self,
        settings: Settings,
        *,
        stop: threading.Event,
        clock: Callable[[], float] = time.time,
        backoff: Backoff = BACKOFF,
        rng: random.Random | None = None,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._settings, self._stop, self._clock, self._look_seconds = settings, stop, clock, look_seconds
        self._refuses = refused_by(settings)
        self._backoff, self._rng = backoff, rng or random.Random()
        self._allowed = Allowed.of(settings.callable_origins)
        self._file = TriggersFile(settings.folder, clock=time.monotonic)
        self._couriers: dict[str, Courier] = {}
        self._said, self._counted = "", float("-inf")
        self._seen, self._forgotten = time.monotonic(), False

    def run(self) -> None:
        """Deliver until ``stop``, while there is a file of triggers and no other process delivers."""
        folder = self._settings.folder
        while not self._stop.is_set():
            if self._file.exists or (not self._forgotten and (folder / QUEUE_FILE).exists()):
                with alone_if_free(folder / LOCK_FILE) as mine:
                    if mine:
                        self._deliver()
            self._stop.wait(self._look_seconds)

    def _deliver(self) -> None:
        """Hold the lock until ``stop``, or until there is no file any more."""
        self._seen = time.monotonic()
        with (
            closing(DeliveryQueue(self._settings.folder)) as queue,
            open_events(self._settings) as events,
            closing(Door.of(self._settings)) as door,
        ):
            try:
                while not self._stop.is_set():
                    if self._is_gone():
                        # Whoever declares triggers again later is not told of what happened in between.
                        queue.forget_position()
                        self._forgotten = True
                        return
                    declared = self._file.declared
                    if declared is not None:  # else it was never right: moves wait until it is
                        self._employ(declared, queue, door)
                        self._follow(declared, events, queue)
                    self._say_trouble()
                    self._count(queue)
                    self._stop.wait(self._look_seconds)
            finally:
                self._dismiss(self._couriers.keys())

    def _is_gone(self) -> bool:
        """Whether there has been no file for a while: an editor may put another in its place."""
        if self._file.exists:
            self._seen, self._forgotten = time.monotonic(), False
        return time.monotonic() - self._seen > GONE_SECONDS

    def _employ(self, declared: Declared, queue: DeliveryQueue, door: Door) -> None:
        """Have a courier for every target as it is declared now."""
        wanted = declared.targets
        self._dismiss(
            [
                name
                for name, each in self._couriers.items()
                if not each.alive or each.target != wanted.get(name)
            ]
        )
        for name, target in wanted.items():
            if name not in self._couriers:
                self._couriers[name] = Courier(
                    target,
                    queue,
                    self._allowed,
                    callers_ids=door.callers_ids,
                    refuses=self._refuses,
                    clock=self._clock,
                    backoff=self._backoff,
                    rng=random.Random(self._rng.random()),
                )

    def _dismiss(self, names: Iterable[str]) -> None:
        leaving = [self._couriers.pop(name) for name in list(names)]
        for courier in leaving:
            courier.close()
        deadline = time.monotonic() + END_SECONDS
        for courier in leaving:
            courier.join(max(0.0, deadline - time.monotonic()))

    def _follow(self, declared: Declared, events: Stream[Event], queue: DeliveryQueue) -> None:
        """Queue what the moves since the last look call for."""
        try:
            end, at = events.end(), queue.position
            if at is None or not end.reaches(
                at
            ):  # the first time, or another log than before: the past is not told
                queue.follow(end, [])
                return
            if at == end:
                return
            for batch in events.scan(where=[("type", "=", MOVE)], after=at, through=end):
                at, deliveries = self._read(batch, at, declared)
                queue.follow(at, deliveries)
                for name in {each.target for each in deliveries}:
                    self._couriers[name].wake()
            queue.follow(end, [])
        except StreamAwayError as error:
            log.warning("triggers follow the events once these are back: %s", error)

    def _read(
        self, batch: pa.RecordBatch, at: Position, declared: Declared
    ) -> tuple[Position, list[Delivery]]:
        table = pa.Table.from_batches([batch])
        places = zip(table["partition"].to_pylist(), table["offset"].to_pylist(), strict=True)
        rows = EVENTS.rows_of_table(table.drop_columns(["partition", "offset"]))
        deliveries: list[Delivery] = []
        for (partition, offset), row in zip(places, rows, strict=True):
            at = at.advanced(partition, offset)
            try:
                move = Move.of_event(EVENTS.from_row(row))
            except TailorbirdError as error:
                log.warning("a move calls nobody: %s", error)
                metrics.failures.labels("triggers").inc()
                continue
            now = self._clock()
            deliveries += [Delivery.of(move, target=name, now=now) for name in declared.called_by(move)]
        return at, deliveries

    def _say_trouble(self) -> None:
        trouble = self._file.trouble
        if trouble and trouble != self._said:
            log.warning("triggers: %s", trouble)
        self._said = trouble

    def _count(self, queue: DeliveryQueue) -> None:
        now = time.monotonic()
        if now - self._counted < COUNT_SECONDS:
            return
        self._counted = now
        counts = queue.counts()
        for name in {*counts, *self._couriers}:
            metrics.trigger_waiting.labels(name).set(counts[name].waiting if name in counts else 0)
