import json
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from tailorbird.errors import UsageError
from tailorbird.simulator.command import simulate
from tailorbird.simulator.shop import Shop


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(simulate, [str(argument) for argument in arguments])


def test_the_files_and_the_dial_are_written(tmp_path: Path) -> None:
    result = invoke("--size", 30, "--seed", 4, "--end", "2025-03-01", "--out", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["size"], report["seed"], report["end"]) == (30, 4, "2025-03-01T00:00:00+00:00")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "events.parquet",
        "items.parquet",
        "shop.json",
        "users.parquet",
    ]
    newest = pd.read_parquet(tmp_path / "events.parquet")["event_time"].max()
    assert pd.Timestamp("2025-02-26", tz="UTC") < newest < pd.Timestamp("2025-03-01", tz="UTC")
    assert Shop.open(tmp_path).seed == 4


def test_the_help_says_which_sizes_there_are() -> None:
    assert "20 to 50,000" in invoke("--help").stdout
    for size in (19, 50_001):
        assert "from 20 to 50,000" in str(invoke("--size", size, "--end", "2025-03-01").exception)


def test_the_same_shop_stays_and_another_replaces_it(tmp_path: Path) -> None:
    invoke("--size", 30, "--out", tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert "already there" in invoke("--size", 30, "--out", tmp_path).stderr
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    assert "already there" not in invoke("--size", 30, "--seed", 1, "--out", tmp_path).stderr
    assert Shop.open(tmp_path).seed == 1


def test_a_shop_half_written_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    invoke("--size", 30, "--out", tmp_path)

    def stop(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("tailorbird.catalog.catalog.Users.write", stop)
        assert invoke("--size", 30, "--seed", 1, "--out", tmp_path).exit_code != 0
    assert not (tmp_path / "shop.json").exists()
    assert invoke("--size", 30, "--out", tmp_path).exit_code == 0
    assert Shop.open(tmp_path).seed == 0


def test_the_default_folder_is_the_workspaces_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILORBIRD_HOME", str(tmp_path))
    result = invoke("--size", 30, "--workspace", "toy", "--json")
    assert json.loads(result.stdout)["folder"] == str(tmp_path / "toy" / "source")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--size", 3], "shop of 3 users"),
        (["--end", "tomorrow"], "'tomorrow' is no date"),
        (["--seed", -1], "seed -1"),
    ],
)
def test_a_wrong_dial_names_the_value(tmp_path: Path, arguments: list[object], complaint: str) -> None:
    result = invoke(*arguments, "--out", tmp_path)
    assert isinstance(result.exception, UsageError)
    assert complaint in result.exception.what
    assert not (tmp_path / "shop.json").exists()
