"""A driver may be killed at any instant: the runs of its trials are closed and completed all the same."""

from pathlib import Path

import pytest

from registry.tracking.runs import Run, Tracker
from tailorbird.settings import Settings
from tests.training.tuning.test_search import SPACE
from training.tuning.study import OwnedStudy
from training.tuning.trial_runs import TrialRuns, close_lost_runs


class Killed(BaseException):
    """Ends the driver where it stands."""


def killed_at(instant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object, **__: object) -> None:
        raise Killed

    where = {"before the trial knows its run": (OwnedStudy, "annotate"), "before the values": (Run, "params")}
    if instant in where:
        monkeypatch.setattr(*where[instant], die)


@pytest.mark.parametrize("instant", ["before the trial knows its run", "before the values", "later"])
def test_a_lost_trials_run_is_closed_with_its_values(
    instant: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = Tracker.open(settings)
    parent = tracker.start("tune toy")
    with (
        OwnedStudy.open(tmp_path, "s", space=SPACE, pruner="none", seed=0) as study,
        monkeypatch.context() as m,
    ):
        number, params = study.ask()
        runs = TrialRuns(tracker, parent, study, metric="ndcg@10")
        killed_at(instant, m)
        try:
            runs.started(number, params)
        except Killed:
            assert instant != "later"
    with OwnedStudy.open(tmp_path, "s", space=SPACE, pruner="none", seed=0) as study:
        close_lost_runs(tracker, parent, study)
        again, same = study.ask()
    (lost,) = tracker.children(parent, status="KILLED")
    assert lost.info.run_name == f"trial {number}"
    assert lost.data.params == {key: str(value) for key, value in params.items()}
    assert same == params
    assert tracker.children(parent, status="RUNNING") == []
    assert again != number
