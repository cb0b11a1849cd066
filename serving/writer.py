"""Writes events to the log from one thread, many callers' events in one durable commit (group commit)."""

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import islice

from serving.lasting import LastingThread
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.events.contract import Sent, as_sent
from tailorbird.events.devices import device_words
from tailorbird.events.schema import Event
from tailorbird.streams.stream import (
    Announced,
    Entry,
    Refuses,
    Stream,
    StreamAwayError,
    nobody,
    trouble_of,
)

log = logging.getLogger("ray.serve.tailorbird")
BATCH_EVENTS = 5_000
WAITING_EVENTS = 50_000
"""Events that may wait for the log at most: a disk that stands still must not fill the memory."""


class WriterFullError(TailorbirdError):
    """Too many events wait already; nothing of the batch was taken."""


@dataclass(frozen=True)
class Written:
    """What became of one caller's events. ``folded`` is False while the live profiles lag behind the log.

    ``refused`` are the ids of messages of erased people, which were not stored.
    """

    accepted: int
    duplicates: int
    folded: bool = True
    refused: frozenset[str] = frozenset()


def _promise() -> "Future[Written]":
    """A future that its waiter cannot cancel: a caller who hangs up must not take it from the writer's thread."""
    future: Future[Written] = Future()
    future.set_running_or_notify_cancel()
    return future


@dataclass(frozen=True)
class _Job:
    """``sent`` as the caller gave them, ``events`` as they are stored, once they are admitted: as many, in their order."""

    sent: Sequence[Sent]
    events: Sequence[Event] = ()
    yielding: bool = False
    done: "Future[Written]" = field(default_factory=_promise)


Fold = Callable[[Sequence[Entry[Event]]], bool]
"""Bring stored events into the live profiles; False when that has to wait."""
Admit = Callable[[Sequence[Sent]], Sequence[Event]]
"""Turn events as callers send them into what is stored of them: as many, in their order."""


class GroupWriter:
    """A thread that takes everything waiting, stores it in one commit, folds it, then answers each caller."""

    def __init__(
        self,
        event_log: Stream[Event],
        *,
        fold: Fold,
        admit: Admit = as_sent,
        capacity: int = WAITING_EVENTS,
        refuses: Refuses = nobody,
    ) -> None:
        """``refuses`` says whose logins leave no word on the device, as the log refuses the logins themselves."""
        self._log, self._fold, self._admit, self._capacity = event_log, fold, admit, capacity
        self._refuses = refuses
        self._waiting, self._closed, self._counting = 0, False, threading.Lock()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        if isinstance(event_log, Announced):
            event_log.announce_appends()
        self.thread = LastingThread(self._run, name="group-writer")

    def write(self, events: Sequence[Sent], *, yielding: bool = False) -> "Future[Written]":
        """Store ``events``; the future completes once they are durable and folded, or fails with the log's error.

        ``yielding`` are the platform's own: they passed no door, and where the log takes none of a commit they are refused
        and the others tried once without them.

        Raises:
            WriterFullError: so many events wait that these could not be promised a place.
            TailorbirdError: the thread that writes has died, or the writer is closed; another replica can store them.
        """
        job = _Job(events, yielding=yielding)
        with self._counting:
            if self._closed or not self.thread.alive:
                raise TailorbirdError("this replica cannot store any more", remedy="send the batch again")
            if self._waiting and self._waiting + len(events) > self._capacity:
                raise WriterFullError(
                    f"{self._waiting:,} events wait to be stored, {self._capacity:,} may",
                    remedy="send the batch again in a moment",
                )
            self._waiting += len(events)
            self._jobs.put(job)  # within the lock: nothing may come after the end
        return job.done

    @property
    def trouble(self) -> str:
        """Why nothing can be stored now; empty where it can."""
        try:
            self._refuses(frozenset())
        except TailorbirdError as error:  # who was erased cannot be asked
            return f"{error.what}: {error.remedy}"
        return trouble_of(self._log)

    def close(self) -> None:
        """Write what waits, then end the thread; what comes later is refused."""
        with self._counting:
            self._closed = True
            self._jobs.put(None)
        self.thread.join(timeout=30)

    def _run(self) -> None:
        while True:
            job = self._jobs.get()
            jobs, size, last = [], 0, job is None
            while job is not None:
                jobs.append(job)
                size += len(job.sent)
                if size >= BATCH_EVENTS:
                    break
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
                last = job is None
            with self._counting:
                self._waiting -= size
            try:
                if jobs:
                    jobs = self._admitted(jobs)
                    self._commit(jobs)
            except StreamAwayError as error:
                # Nobody's fault, and whoever waits would wait for nothing: all hear of it now, not one after the other.
                late, ended = self._drain()
                jobs, last = [*jobs, *late], last or ended
                _refuse(jobs, StreamAwayError(error.what, remedy=error.remedy))
            finally:  # whatever happened: nobody waits for ever
                _refuse(jobs, RuntimeError("the writer failed"))
            if last:
                return

    def _admitted(self, jobs: Sequence[_Job]) -> list[_Job]:
        """The jobs with their callers' events as they are stored."""
        sent = [event for job in jobs if not job.yielding for event in job.sent]
        admitted = iter(self._admit(sent) if sent else ())
        return [
            replace(job, events=as_sent(job.sent) if job.yielding else list(islice(admitted, len(job.sent))))
            for job in jobs
        ]

    def _drain(self) -> tuple[list[_Job], bool]:
        """Everything that waits, and whether the end was among it."""
        jobs: list[_Job] = []
        ended = False
        while not self._jobs.empty() and not ended:
            job = self._jobs.get()
            jobs += [] if job is None else [job]
            ended = job is None
        with self._counting:
            self._waiting -= sum(len(job.sent) for job in jobs)
        return jobs, ended

    def _commit(self, jobs: Sequence[_Job]) -> None:
        events = [event for job in jobs for event in job.events]
        try:
            fallen = self._refuses({event.user_key for event in events})
            welcome = [event for event in events if event.user_key not in fallen] if fallen else events
            appended = self._log.append([*events, *device_words(welcome)])
        except UsageError as error:
            if len(jobs) == 1:
                jobs[0].done.set_exception(error)
                return
            middle = (
                len(jobs) // 2
            )  # one caller's events cannot be stored: that must not become another's trouble
            self._commit(jobs[:middle])
            self._commit(jobs[middle:])
            return
        except StreamAwayError as error:
            others = [job for job in jobs if not job.yielding]
            if len(others) in (0, len(jobs)):
                raise
            _refuse([job for job in jobs if job.yielding], StreamAwayError(error.what, remedy=error.remedy))
            self._commit(others)
            return
        folded = self._fold(appended.entries)
        fresh = {entry.record.message_id for entry in appended.entries}
        dropped = {id(event) for event in appended.refused}
        for job in jobs:
            mine = {event.message_id for event in job.events} & fresh
            fresh -= mine
            pairs = zip(job.sent, job.events, strict=True) if dropped else ()
            refused = [sent.message_id for sent, event in pairs if id(event) in dropped]
            known = len(job.events) - len(mine) - len(refused)
            job.done.set_result(Written(len(mine), known, folded, frozenset(refused)))


def _refuse(jobs: Sequence[_Job], error: Exception) -> None:
    for job in jobs:
        if not job.done.done():
            job.done.set_exception(error)
