"""A study of a real recipe on Ray: killed half-way it goes on, finished it rests, and the best becomes a version."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from registry.tracking.runs import Tracker
from registry.versions.versions import Registry
from tailorbird.settings import Settings
from tests.training.toy import RECIPE

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
SPACE = '[space]\n"cooccurrence.smoothing" = { low = 0.05, high = 5.0, log = true }\n"content.history" = { low = 3, high = 9 }\n'
SLOW = RECIPE.override(
    {"sources": ["cooccurrence", "sequence", "popularity"], "sequence.epochs": 30, "sequence.patience": 30}
)


def start(settings: Settings, folder: Path, *, trials: int) -> "subprocess.Popen[str]":
    (folder / "toy.toml").write_text(SLOW.to_toml())
    (folder / "space.toml").write_text(SPACE)
    argv = [
        "tune",
        "--workspace",
        "test",
        "--recipe",
        str(folder / "toy.toml"),
        "--space",
        str(folder / "space.toml"),
    ]
    return subprocess.Popen(
        [sys.executable, "-m", "tailorbird", *argv, "--trials", str(trials), "--parallel", "1", "--json"],
        env={
            **os.environ,
            "TAILORBIRD_HOME": str(settings.home),
            "TAILORBIRD_MLRUNS": str(settings.mlruns),
            "OMP_NUM_THREADS": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def states(settings: Settings) -> list[tuple[str, bool]]:
    """Each trial of the study so far: its state, and whether its run has begun; read beside the running driver."""
    query = (
        "SELECT state, EXISTS (SELECT 1 FROM trial_user_attributes a WHERE a.trial_id = t.trial_id AND a.key = 'run_id') "
        "FROM trials t ORDER BY number"
    )
    for database in (settings.folder / "studies").glob("*.db"):
        try:
            with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
                return [(state, bool(begun)) for state, begun in connection.execute(query)]
        except sqlite3.OperationalError:
            return []  # its tables are being made
    return []


def test_a_killed_study_goes_on_and_a_finished_one_rests(own_toy: Settings, tmp_path: Path) -> None:
    killed = start(own_toy, tmp_path, trials=3)
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline and killed.poll() is None:
        if states(own_toy) == [("COMPLETE", True), ("RUNNING", True)]:
            os.kill(killed.pid, signal.SIGKILL)
            break
        time.sleep(0.1)
    _, stderr = killed.communicate(timeout=30)
    assert killed.returncode == -signal.SIGKILL, stderr
    assert [state for state, _ in states(own_toy)] == ["COMPLETE", "RUNNING"]

    resumed = start(own_toy, tmp_path, trials=3)
    stdout, stderr = resumed.communicate(timeout=240)
    assert resumed.returncode == 0, stderr
    result = json.loads(stdout)
    assert result["trials"] == 3
    assert result["fresh"]
    assert [state for state, _ in states(own_toy)] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]

    tracker = Tracker.open(own_toy)
    runs = tracker.client.search_runs([tracker.experiment_id])
    parents = [run for run in runs if run.data.tags.get("kind") == "tune"]
    trials = {run.info.run_name: run for run in runs if run.data.tags.get("kind") == "trial"}
    assert len(parents) == 1
    assert parents[0].info.status == "FINISHED"
    assert {run.data.tags["mlflow.parentRunId"] for run in trials.values()} == {parents[0].info.run_id}
    assert [trials[f"trial {n}"].info.status for n in range(4)] == [
        "FINISHED",
        "KILLED",
        "FINISHED",
        "FINISHED",
    ]
    assert trials["trial 1"].data.params == trials["trial 2"].data.params
    best = trials[f"trial {result['best_trial']}"]
    assert (
        max(run.data.metrics.get("ndcg_at_10", 0.0) for run in trials.values())
        == best.data.metrics["ndcg_at_10"]
    )
    assert best.data.metrics["ndcg_at_10"] == pytest.approx(result["best_value"])
    assert tracker.client.get_metric_history(best.info.run_id, "intermediate")

    version = Registry(own_toy).version("latest")
    assert version.run_id == parents[0].info.run_id
    assert version.open().model.recipe.cooccurrence.smoothing == float(
        best.data.params["cooccurrence.smoothing"]
    )
    assert parents[0].data.metrics["ndcg_at_10"] > 0.5

    third = start(own_toy, tmp_path, trials=3)
    stdout, stderr = third.communicate(timeout=60)
    assert third.returncode == 0, stderr
    assert json.loads(stdout)["version"] == version.version
    assert not json.loads(stdout)["fresh"]
