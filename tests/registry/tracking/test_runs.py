"""What a run records is found again, from anywhere, also after a failure; the schema is made once."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.tracking.runs import DataIdentity, Tracker, flat, metric_name
from registry.tracking.store import open_client
from tailorbird.settings import Settings, load_settings
from tests.registry.racers import race

DATA = DataIdentity(name="toy", digest="abc123", source="/data/toy", profile={"events": 7})


def test_everything_a_run_records_is_found_again(settings: Settings, tmp_path: Path) -> None:
    tracker = Tracker.open(settings)
    with tracker.start("fit", tags={"kind": "train"}) as run:
        run.params({"width": 8, "sequence": {"dropout": 0.1}})
        run.metrics({"ndcg@10": 0.25, "by": {"cold": 0.1}, "note": "words", "nothing": math.nan})
        run.curve("loss", [3.0, 2.0, 1.0])
        run.data(DATA, context="training")
        run.text("hello", "card.md")
    client = open_client(settings)
    found = client.get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert found.data.params == {"width": "8", "sequence.dropout": "0.1"}
    assert found.data.metrics == {"ndcg_at_10": 0.25, "by.cold": 0.1, "loss": 1.0}
    assert [point.value for point in client.get_metric_history(run.run_id, "loss")] == [3.0, 2.0, 1.0]
    assert found.data.tags["kind"] == "train"
    assert found.inputs.dataset_inputs[0].dataset.digest == "abc123"
    assert run.fetch("card.md", tmp_path).read_text() == "hello"


def test_artifacts_lie_in_the_workspaces_mlruns_whatever_the_working_directory(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Tracker.open(settings).start("fit") as run:
        run.text("hello", "card.md")
    assert list((settings.mlruns / "artifacts").rglob("card.md"))
    assert not (tmp_path / "mlruns" / "0").exists()


@pytest.mark.parametrize(("error", "status"), [(ValueError("no"), "FAILED"), (KeyboardInterrupt(), "KILLED")])
def test_a_run_that_breaks_says_so(settings: Settings, error: BaseException, status: str) -> None:
    tracker = Tracker.open(settings)
    run = tracker.start("fit")
    with pytest.raises(type(error)), run:
        raise error
    found = tracker.client.get_run(run.run_id)
    assert found.info.status == status
    assert type(error).__name__ in found.data.tags["error"]


def test_a_child_run_names_its_parent(settings: Settings) -> None:
    tracker = Tracker.open(settings)
    with tracker.start("study") as parent, tracker.start("trial 0", parent=parent) as child:
        pass
    assert tracker.client.get_run(child.run_id).data.tags["mlflow.parentRunId"] == parent.run_id


def first_run(name: str, settings: Settings, start: Callable[[], object]) -> str:
    """One of several that find no database yet; the experiment it tracks in."""
    start()
    tracker = Tracker.open(settings)
    with tracker.start(name):
        pass
    return tracker.experiment_id


@pytest.mark.slow
@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_processes_that_start_together_share_one_schema_and_one_experiment(
    store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Three processes race to make the database; each ends with a run in the same experiment."""
    uri = request.getfixturevalue("database") if store == "postgresql" else ""
    settings = load_settings(home=tmp_path, mlruns=tmp_path / "mlruns", tracking_uri=uri, workspace="race")
    assert len(set(race(first_run, ["a", "b", "c"], settings))) == 1
    tracker = Tracker.open(settings)
    assert len(tracker.client.search_runs([tracker.experiment_id])) == 3


def test_names_and_nesting_are_spelled_as_mlflow_accepts_them() -> None:
    assert metric_name("ndcg@10") == "ndcg_at_10"
    assert metric_name("age 18→24 é") == "age 18_24 é"
    assert flat({"a": {"b": 1, "c": {"d": 2}}, "e": 3}) == {"a.b": 1, "a.c.d": 2, "e": 3}
