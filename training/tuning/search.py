"""The search loop: ask the study, start trials, pass their reports on, close them. One process runs it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tailorbird.errors import TailorbirdError
from training.tuning.space import Value
from training.tuning.study import OwnedStudy

POLL_SECONDS = 0.2


@dataclass(frozen=True)
class TrialReport:
    """A running trial's intermediate figure."""

    number: int
    step: int
    value: float


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: COMPLETE with its value, PRUNED, or FAIL with the reason."""

    state: str
    value: float | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    reason: str = ""


class Pool(Protocol):
    """Where trials run."""

    def free(self) -> int:
        """How many more trials can start now."""

    def start(self, number: int, params: Mapping[str, Value]) -> None:
        """Start a trial; returns at once."""

    def reports(self) -> list[TrialReport]:
        """New intermediate figures, oldest first."""

    def stop(self, number: int) -> None:
        """Ask a trial to stop early."""

    def ended(self) -> list[tuple[int, Outcome]]:
        """Trials that have ended since the last call."""


class Watcher(Protocol):
    """Who looks on: the screen, the tracker."""

    def started(self, number: int, params: Mapping[str, Value]) -> None:
        """A trial starts."""

    def reported(self, report: TrialReport) -> None:
        """A trial reports."""

    def ended(self, number: int, outcome: Outcome) -> None:
        """A trial is over."""


def search(
    study: OwnedStudy,
    pool: Pool,
    *,
    trials: int,
    watchers: Sequence[Watcher],
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Run the study until ``trials`` are complete or pruned.

    Failed trials do not count; as many failures as trials were asked for (at least three) end the search.

    Raises:
        TailorbirdError: too many trials failed.
    """
    running: set[int] = set()
    failures: list[str] = []
    while True:
        while pool.free() and study.done() + len(running) < trials:
            running.add(_start(study, pool, watchers))
        if not running:
            return
        # Ended first: what a trial reported before its end is then in the reports that follow.
        ended = pool.ended()
        _pass_on(study, pool, [report for report in pool.reports() if report.number in running], watchers)
        for number, outcome in ended:
            running.discard(number)
            study.tell(number, outcome.value, state=outcome.state)
            for watcher in watchers:
                watcher.ended(number, outcome)
            if outcome.state == "FAIL":
                failures.append(f"trial {number}: {outcome.reason}")
        if len(failures) >= max(3, trials):
            raise TailorbirdError(
                f"{len(failures)} trials failed; the last one: {failures[-1]}",
                remedy="see the trials' MLflow runs",
            )
        if not ended:
            pause(POLL_SECONDS)


def _start(study: OwnedStudy, pool: Pool, watchers: Sequence[Watcher]) -> int:
    number, params = study.ask()
    for watcher in watchers:
        watcher.started(number, params)
    pool.start(number, params)
    return number


def _pass_on(
    study: OwnedStudy, pool: Pool, reports: Sequence[TrialReport], watchers: Sequence[Watcher]
) -> None:
    for report in reports:
        if study.report(report.number, report.value, step=report.step):
            pool.stop(report.number)
        for watcher in watchers:
            watcher.reported(report)
