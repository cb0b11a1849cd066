"""Trials on a real Ray cluster: figures arrive, stops are heard, crashes are named and cost nothing else."""

import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import psutil
import pytest

from tailorbird.errors import TailorbirdError
from tailorbird.settings import Settings
from training.tuning.pool import RayPool, Tell, cluster
from training.tuning.search import Outcome, search
from training.tuning.space import Range, Space, Value
from training.tuning.study import OwnedStudy

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore::ResourceWarning")]


def work(data: np.ndarray, params: Mapping[str, Value], tell: Tell) -> Outcome:
    """Looks x up in the data; 3 raises, 5 kills its process."""
    x = int(params["x"])
    if x == 3:
        raise ValueError("three is forbidden")
    if x == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    for step in range(4):
        tell(step, float(data[x]) * (step + 1))
    return Outcome("COMPLETE", value=float(data[x]), curves={"x": [float(x)] * 4})


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    with cluster(Settings(), cpus=2):
        yield


def outcomes(pool: RayPool, values: list[int]) -> dict[int, Outcome]:
    for number, x in enumerate(values):
        pool.start(number, {"x": x})
    over: dict[int, Outcome] = {}
    while len(over) < len(values):
        over |= dict(pool.ended())
    return over


def test_only_this_machine_reaches_the_cluster(ray_cluster: None) -> None:
    mine = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
    listening = [
        each
        for each in psutil.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN and each.pid in mine
    ]
    assert listening
    reachable = {
        (psutil.Process(each.pid).name(), each.laddr.port)
        for each in listening
        if each.laddr.ip.removeprefix("::ffff:") not in ("127.0.0.1", "::1")
    }
    assert reachable == set()


def test_a_crash_or_an_error_fails_its_own_trial_only(ray_cluster: None) -> None:
    pool = RayPool(work, np.arange(10.0), parallel=2)
    over = outcomes(pool, [2, 3, 5, 7])
    reported = {(report.number, report.step): report.value for report in pool.reports()}
    pool.close()
    assert over[0] == Outcome("COMPLETE", value=2.0, curves={"x": [2.0] * 4})
    assert over[3].value == 7.0
    assert over[1].state == "FAIL"
    assert "three is forbidden" in over[1].reason
    assert over[2].state == "FAIL"
    assert over[2].reason
    assert reported == {(0, step): 2.0 * (step + 1) for step in range(4)} | {
        (3, step): 7.0 * (step + 1) for step in range(4)
    }


def test_a_stopped_trial_ends_as_pruned(ray_cluster: None) -> None:
    pool = RayPool(work, np.arange(10.0), parallel=1)
    pool.stop(0)
    over = outcomes(pool, [4])
    pool.close()
    assert over[0].state == "PRUNED"
    assert over[0].curves["reported"] == [4.0]


def test_a_study_on_ray_finds_the_best(ray_cluster: None, tmp_path: Path) -> None:
    pool = RayPool(work, np.array([0.0, 1.0, 9.0]), parallel=2)
    space = Space("toy", {"x": Range(0, 2, whole=True)})
    with OwnedStudy.open(tmp_path, "s", space=space, pruner="none", seed=1) as study:
        study.first({"x": 1})
        search(study, pool, trials=25, watchers=[])
        pool.close()
        assert study.best().params == {"x": 2}
        assert study.done() == 25


def test_a_process_joins_one_cluster(ray_cluster: None) -> None:
    with pytest.raises(TailorbirdError, match="already"), cluster(Settings(), cpus=1):
        pass


def slow_at_first(data: str, params: Mapping[str, Value], tell: Tell) -> Outcome:
    """Leaves a note for each time that it begins; waits for ever unless it is the last that ``x`` allows."""
    note = Path(data) / f"{len(list(Path(data).iterdir()))}"
    note.touch()
    if int(note.name) < int(params["x"]):
        time.sleep(600)
    return Outcome("COMPLETE", value=float(note.name), curves={})


@pytest.mark.parametrize(("losses", "state"), [(1, "COMPLETE"), (2, "FAIL")])
def test_a_trial_whose_machine_is_lost_begins_once_more_elsewhere(
    ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, losses: int, state: str
) -> None:
    """The board is told of a node that is not there: what a machine leaves behind that is gone without a word."""
    import ray

    monkeypatch.setattr("training.tuning.pool.LOOK_SECONDS", 0.0)
    pool = RayPool(slow_at_first, str(tmp_path), parallel=1)
    pool.start(0, {"x": losses})
    deadline = time.monotonic() + 120
    for begun in range(1, losses + 1):
        while len(list(tmp_path.iterdir())) < begun:
            assert time.monotonic() < deadline
            assert pool.ended() == []
            time.sleep(0.05)
        ray.get(pool._board.begin.remote(0, "gone"))
    over: list[tuple[int, Outcome]] = []
    while not over:
        assert time.monotonic() < deadline
        over = pool.ended()
    assert [(number, outcome.state) for number, outcome in over] == [(0, state)]
    assert pool.free() == 1
    pool.close()


def test_a_trial_that_was_on_its_way_to_a_machine_that_is_lost_begins_elsewhere(
    ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setattr("training.tuning.pool.LOOK_SECONDS", 0.0)
    pool = RayPool(slow_at_first, str(tmp_path), parallel=1)
    pool.start(0, {"x": 1})
    deadline = time.monotonic() + 120
    while not list(tmp_path.iterdir()):
        assert time.monotonic() < deadline
        assert pool.ended() == []
    ray.get(pool._board.begin.remote(0, ""))
    pool._there[0].add("gone")
    over: list[tuple[int, Outcome]] = []
    while not over:
        assert time.monotonic() < deadline
        over = pool.ended()
    assert over[0][1].state == "COMPLETE"
    pool.close()
