import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from tailorbird.cli import tailorbird
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.evaluation.metrics import per_question
from training.benchmarks.published.command import benchmark

TINY = """
width = 8
candidates = 60
[sequence]
epochs = 3
history = 16
refit_epochs = 1
[ranker]
cases = 800
epochs = 3
"""


def run(*arguments: object, catch: bool = False) -> Result:
    return CliRunner().invoke(benchmark, [str(part) for part in arguments], catch_exceptions=catch)


@pytest.fixture(scope="module")
def shop_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """One whole run of the simulated shop, hybrid and oracle included."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "tiny.toml").write_text(TINY)
    result = run("shop", "--size", 300, "--recipe", folder / "tiny.toml", "--out", folder / "out", "--json")
    assert result.exit_code == 0
    printed = json.loads(result.stdout)
    written = json.loads((folder / "out" / "metrics.json").read_text())
    assert printed["metrics"] == written["metrics"]
    return folder / "out", written


def ranks_of(table: pd.DataFrame) -> np.ndarray:
    return np.array(
        [
            [*items].index(target) + 1 if target in items else np.inf
            for items, target in zip(table["items"], table["target"], strict=True)
        ]
    )


def test_the_figures_follow_from_the_rankings_file(shop_run: tuple[Path, dict[str, Any]]) -> None:
    out, metrics = shop_run
    table = pd.read_parquet(out / "rankings.parquet")
    assert len(table) == metrics["cases"]
    assert (table["items"].map(len) <= 100).all()
    assert table["items"].map(lambda items: len(set(items)) == len(items)).all()
    for name, values in per_question(ranks_of(table)).items():
        assert values.mean() == pytest.approx(metrics["metrics"][name], abs=2e-3), name


def test_every_row_stands_in_the_table_with_its_rankings(shop_run: tuple[Path, dict[str, Any]]) -> None:
    out, metrics = shop_run
    alone = {f"only {name}" for name in ("cooccurrence", "sequence", "content", "popularity")}
    assert (
        set(metrics["rows"])
        == {"popularity", "recent popularity", "hybrid", "hybrid without variety", "oracle"} | alone
    )
    for name, row in metrics["rows"].items():
        interval = row["metrics"]["ndcg@10"]
        assert interval["low"] <= interval["mean"] <= interval["high"]
        if name != "hybrid":
            assert (out / "rankings" / f"{name.replace(' ', '-')}.parquet").is_file()
            assert name in metrics["lead_of_hybrid"]["over"]


def test_the_oracle_leads_and_popularity_trails(shop_run: tuple[Path, dict[str, Any]]) -> None:
    verdict = shop_run[1]["verdict"]
    assert verdict["oracle"] > verdict["hybrid"] > verdict["recent popularity"]


def test_what_a_run_cost_is_on_record(shop_run: tuple[Path, dict[str, Any]]) -> None:
    metrics = shop_run[1]
    assert metrics["peak_memory_mb"] > 50
    assert metrics["seconds"]["total"] >= metrics["seconds"]["fit"] > 0
    assert {point["curve"] for point in metrics["curves"]} >= {"sequence.loss"}
    assert {row["source"] for row in metrics["recall_by_source"]} >= {"union", "cooccurrence"}


def own_events(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    start = pd.Timestamp("2025-01-01", tz="UTC")
    rows = [
        {
            "message_id": f"m{user}-{step}",
            "type": "click",
            "user_id": f"u{user}",
            "item_id": f"i{item}",
            "event_time": (start + pd.Timedelta(hours=int(10 * step + user % 7))).isoformat(),
        }
        for user in range(40)
        for step, item in enumerate(rng.permutation(30)[:12])
    ]
    path = folder / "events.jsonl"
    pd.DataFrame(rows).to_json(path, orient="records", lines=True)
    return path


@pytest.mark.parametrize("protocol", ["gts", "loo", "sessions"])
def test_own_events_are_measured_by_any_protocol(tmp_path: Path, protocol: str) -> None:
    events = own_events(tmp_path)
    result = run(
        "mine", "--events", events, "--protocol", protocol, "--out", tmp_path / "out", "--baselines-only"
    )
    assert result.exit_code == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    habit = {"own habit"} if protocol == "sessions" else set()  # where repeats count
    assert set(metrics["rows"]) == {"popularity", "recent popularity"} | habit
    assert metrics["items"] == 30
    assert metrics["protocol"]["protocol"] == protocol


def test_validation_comes_before_the_test(tmp_path: Path) -> None:
    events = own_events(tmp_path)
    options = ("mine", "--events", events, "--baselines-only", "--out")
    run(*options, tmp_path / "test")
    run(*options, tmp_path / "validation", "--on", "validation")
    test, validation = (
        json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("test", "validation")
    )
    assert validation["fit_events"] < test["fit_events"]


def test_fewer_cases_may_be_drawn(tmp_path: Path) -> None:
    run("mine", "--events", own_events(tmp_path), "--baselines-only", "--cases", 7, "--out", tmp_path / "out")
    assert len(pd.read_parquet(tmp_path / "out" / "rankings.parquet")) == 7


def test_bad_requests_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--cold with protocol loo"):
        run("movielens-1m", "--protocol", "loo", "--cold", "--out", tmp_path / "out")
    (tmp_path / "file").write_text("")
    assert run("shop", "--out", tmp_path / "file").exit_code == 2
    with pytest.raises(UsageError, match="no recipe 'poem'"):
        run("shop", "--recipe", "poem", "--out", tmp_path / "out")
    with pytest.raises(TailorbirdError, match="cannot make"):
        run("shop", "--out", "/proc/nowhere/out")
    with pytest.raises(UsageError, match="no folder"):
        run("amazon-beauty", "--path", tmp_path / "absent", "--out", tmp_path / "out")


def test_help_shows_examples() -> None:
    shown = CliRunner().invoke(tailorbird, ["benchmark", "--help"]).stdout
    assert "\n      tailorbird benchmark movielens-1m --protocol gts --out runs/ml-gts\n" in shown
