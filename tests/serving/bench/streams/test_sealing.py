"""The benchmark of sealed records says what is added, and that the topic holds less."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from serving.bench.command import bench
from tailorbird.errors import UsageError
from tests.streams.brokers import Broker


@pytest.mark.server
@pytest.mark.slow
def test_sealed_and_plain_records_are_compared(
    kafka: Broker, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAILORBIRD_EVENTS", kafka.url())
    monkeypatch.setenv("TAILORBIRD_PEOPLE", database)
    asked = ["sealing", "--out", str(tmp_path), "--users", "50", "--blocks", "3"]
    done = CliRunner().invoke(bench, asked, catch_exceptions=False)
    assert done.exit_code == 0
    found = json.loads((tmp_path / "sealing.json").read_text())
    assert found["sealed_bytes"] < 0.7 * found["plain_bytes"]
    assert all(found[f"{name}_sealed_us"] > 0 for name in ("batch_of_50", "batch_of_2000", "follow"))


def test_without_kafka_and_shared_people_there_is_nothing_to_compare(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="set TAILORBIRD_EVENTS=kafka"):
        CliRunner().invoke(bench, ["sealing", "--out", str(tmp_path)], catch_exceptions=False)
