"""The MLflow runs of a study's trials, children of the study's run. The driver alone writes them."""

from collections.abc import Mapping

from registry.tracking.runs import Run, Tracker
from training.publish.plots import learning_curves
from training.tuning.search import Outcome, TrialReport
from training.tuning.space import Value
from training.tuning.study import OwnedStudy


class TrialRuns:
    """A :class:`~training.tuning.search.Watcher` that keeps a child run per trial."""

    def __init__(self, tracker: Tracker, parent: Run, study: OwnedStudy, *, metric: str) -> None:
        self._tracker, self._parent, self._study, self._metric = tracker, parent, study, metric
        self._runs: dict[int, Run] = {}
        self._reported: dict[int, list[float]] = {}

    def started(self, number: int, params: Mapping[str, Value]) -> None:
        """Begin the trial's run."""
        run = self._tracker.start(f"trial {number}", parent=self._parent, tags={"kind": "trial"})
        self._study.annotate(number, "run_id", run.run_id)
        run.params(dict(params))
        self._runs[number] = run
        self._reported[number] = []

    def reported(self, report: TrialReport) -> None:
        """Keep the figure; it is written when the trial ends."""
        self._reported[report.number].append(report.value)

    def ended(self, number: int, outcome: Outcome) -> None:
        """Write figures and curves and close the run."""
        run = self._runs.pop(number)
        run.curve("intermediate", self._reported.pop(number))
        if outcome.value is not None:
            run.metrics({self._metric: outcome.value, **outcome.figures})
        curves = {name: values for name, values in outcome.curves.items() if len(values)}
        for name, values in curves.items():
            run.curve(f"curve/{name}", values)
        if curves:
            run.figure(learning_curves(curves), "plots/learning_curves.png")
        run.tags({"state": outcome.state, **({"reason": outcome.reason} if outcome.reason else {})})
        run.finish("FAILED" if outcome.state == "FAIL" else "FINISHED")

    def abandon(self) -> None:
        """Close the runs of trials that will not be heard of again."""
        for run in self._runs.values():
            run.finish("KILLED")
        self._runs.clear()


def close_lost_runs(tracker: Tracker, parent: Run, study: OwnedStudy) -> None:
    """Close the runs of trials that a killed driver left open, and complete what it had not yet written.

    The driver may have been killed at any instant: a run may stand without its parameters, or unknown to its trial.
    """
    trials = {trial.number: trial for trial in study.finished()}
    for run in tracker.children(parent, status="RUNNING"):
        trial = trials.get(int(run.info.run_name.removeprefix("trial ")))
        lost = Run(tracker.client, run.info.run_id)
        if trial is not None:
            lost.params(trial.params)
        lost.finish("KILLED")
