"""A study finds what is good, stops what is bad, and goes on after a kill without losing or repeating work."""

import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tailorbird.errors import TailorbirdError
from training.tuning.search import Outcome, TrialReport, search
from training.tuning.space import Range, Space, Value
from training.tuning.study import OwnedStudy

SPACE = Space("toy", {"x": Range(-4.0, 4.0), "n": Range(1, 5, whole=True)})


class StepwisePool:
    """Runs trials in this process, one step of each whenever asked; the figure of step s is value * (s + 1) / steps."""

    def __init__(
        self, value_of: Callable[[Mapping[str, Value]], float], *, parallel: int = 2, steps: int = 5
    ) -> None:
        self.value_of, self.parallel, self.steps = value_of, parallel, steps
        self.progress: dict[int, tuple[float, int]] = {}
        self.stopped: set[int] = set()
        self.most_at_once = 0

    def free(self) -> int:
        return self.parallel - len(self.progress)

    def start(self, number: int, params: Mapping[str, Value]) -> None:
        self.progress[number] = (self.value_of(params), 0)
        self.most_at_once = max(self.most_at_once, len(self.progress))

    def reports(self) -> list[TrialReport]:
        news = []
        for number, (value, step) in list(self.progress.items()):
            news.append(TrialReport(number, step, value * (step + 1) / self.steps))
            self.progress[number] = (value, step + 1)
        return news

    def stop(self, number: int) -> None:
        self.stopped.add(number)

    def ended(self) -> list[tuple[int, Outcome]]:
        over = []
        for number, (value, step) in list(self.progress.items()):
            if number in self.stopped:
                over.append((number, Outcome("PRUNED")))
            elif value != value:
                over.append((number, Outcome("FAIL", reason="not a number")))
            elif step >= self.steps:
                over.append((number, Outcome("COMPLETE", value=value)))
        for number, _ in over:
            del self.progress[number]
        return over


class Diary:
    """A watcher that writes down what it saw."""

    def __init__(self) -> None:
        self.params: dict[int, Mapping[str, Value]] = {}
        self.outcomes: dict[int, Outcome] = {}

    def started(self, number: int, params: Mapping[str, Value]) -> None:
        self.params[number] = params

    def reported(self, report: TrialReport) -> None:
        assert report.number in self.params

    def ended(self, number: int, outcome: Outcome) -> None:
        self.outcomes[number] = outcome


def hill(params: Mapping[str, Value]) -> float:
    return 10.0 - (float(params["x"]) - 1.0) ** 2


def run(
    folder: Path, pool: StepwisePool, *, trials: int, pruner: str = "none", database: str = ""
) -> tuple[OwnedStudy, Diary]:
    diary = Diary()
    with OwnedStudy.open(folder, "s", space=SPACE, pruner=pruner, seed=0, database=database) as study:
        search(study, pool, trials=trials, watchers=[diary], pause=lambda _: None)
    return study, diary


def test_the_search_climbs_the_hill(tmp_path: Path) -> None:
    pool = StepwisePool(hill)
    study, diary = run(tmp_path, pool, trials=40)
    best = study.best()
    assert best.value is not None
    assert best.value > 9.9
    assert best.value == max(outcome.value or -99 for outcome in diary.outcomes.values())
    assert len(diary.outcomes) == 40
    assert pool.most_at_once == 2


def test_a_queued_point_is_tried_first_and_once(tmp_path: Path) -> None:
    point = {"x": 1.0, "n": 3}
    with OwnedStudy.open(tmp_path, "s", space=SPACE, pruner="none", seed=0) as study:
        study.first(point)
        study.first(point)
        search(study, StepwisePool(hill, parallel=1), trials=3, watchers=[], pause=lambda _: None)
    tried = [dict(trial.params) for trial in study.finished()]
    assert tried[0] == point
    assert tried.count(point) == 1
    assert study.best().number == 0


def test_hopeless_trials_are_stopped_early_and_count(tmp_path: Path) -> None:
    _, diary = run(tmp_path, StepwisePool(hill, parallel=1), trials=25, pruner="median")
    states = [outcome.state for outcome in diary.outcomes.values()]
    assert len(states) == 25
    assert 3 <= states.count("PRUNED") < 20


def test_failures_do_not_count_but_end_a_search_that_only_fails(tmp_path: Path) -> None:
    """x above 0 fails: the search still completes its trials. If all fail, it stops and says why."""
    study, diary = run(
        tmp_path / "half", StepwisePool(lambda p: float("nan") if float(p["x"]) > 3 else 1.0), trials=8
    )
    assert study.done() == 8
    assert all(float(diary.params[n]["x"]) > 3 for n, o in diary.outcomes.items() if o.state == "FAIL")
    with pytest.raises(TailorbirdError, match="not a number"):
        run(tmp_path / "all", StepwisePool(lambda _: float("nan")), trials=2)


def test_a_finished_study_starts_nothing(tmp_path: Path) -> None:
    run(tmp_path, StepwisePool(hill), trials=5)
    _, diary = run(tmp_path, StepwisePool(hill), trials=5)
    assert diary.params == {}
    _, more = run(tmp_path, StepwisePool(hill), trials=7)
    assert sorted(more.params) == [5, 6]


@pytest.fixture(params=["sqlite", "postgresql"])
def studies(request: pytest.FixtureRequest) -> str:
    """Where studies are kept: "" is a file, else the address of a database."""
    return request.getfixturevalue("database") if request.param == "postgresql" else ""


def test_after_a_kill_the_lost_trials_are_tried_again_with_their_values(tmp_path: Path, studies: str) -> None:
    script = (
        "import sys, os, signal\nsys.path.insert(0, sys.argv[2])\nfrom pathlib import Path\n"
        "from tests.training.tuning.test_search import SPACE\nfrom training.tuning.study import OwnedStudy\n"
        "with OwnedStudy.open(Path(sys.argv[1]), 's', space=SPACE, pruner='none', seed=0,\n"
        "        database=sys.argv[3]) as study:\n"
        "    number, params = study.ask()\n    study.tell(number, 1.0, state='COMPLETE')\n"
        "    for _ in range(2):\n        print(study.ask(), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = str(Path(__file__).resolve().parents[3])
    killed = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), root, studies],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    lost = [eval(line)[1] for line in killed.stdout.splitlines()]
    assert len(lost) == 2
    study, diary = run(tmp_path, StepwisePool(hill), trials=4, database=studies)
    assert list(diary.params.values())[:2] == lost
    assert [trial.state for trial in study.finished()].count("FAIL") == 2
    assert study.done() == 4


def test_a_resumed_study_draws_what_an_uninterrupted_one_draws(tmp_path: Path) -> None:
    _, whole = run(tmp_path / "whole", StepwisePool(hill, parallel=1), trials=12)
    _, first = run(tmp_path / "parts", StepwisePool(hill, parallel=1), trials=5)
    _, second = run(tmp_path / "parts", StepwisePool(hill, parallel=1), trials=12)
    drawn = [*first.params.values(), *second.params.values()]
    assert drawn == list(whole.params.values())
    assert len({str(params) for params in drawn}) == 12


def test_a_lost_trial_that_had_not_taken_its_queued_values_keeps_them(tmp_path: Path) -> None:
    with OwnedStudy.open(tmp_path, "s", space=SPACE, pruner="none", seed=0) as study:
        study.first({"x": 1.5, "n": 2})
        study._study.ask()  # killed before its values are suggested
    with OwnedStudy.open(tmp_path, "s", space=SPACE, pruner="none", seed=0) as study:
        assert study.ask()[1] == {"x": 1.5, "n": 2}


def test_a_study_has_one_owner_at_a_time(tmp_path: Path, studies: str) -> None:
    with (
        OwnedStudy.open(tmp_path, "s", space=SPACE, pruner="none", seed=0, database=studies),
        pytest.raises(TailorbirdError, match="already running"),
        OwnedStudy.open(tmp_path / "other", "s", space=SPACE, pruner="none", seed=0, database=studies)
        if studies
        else OwnedStudy.open(tmp_path, "s", space=SPACE, pruner="none", seed=0),
    ):
        pass


def test_a_study_without_a_complete_trial_has_no_best(tmp_path: Path) -> None:
    with (
        OwnedStudy.open(tmp_path, "s", space=SPACE, pruner="none", seed=0) as study,
        pytest.raises(TailorbirdError, match="no trial completed"),
    ):
        study.best()
