"""The bench of readouts makes an archive and reads all of it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from serving.bench.streams.readout import METRICS, VARIANTS, readout

pytestmark = pytest.mark.slow


def test_ten_metrics_of_three_variants_are_compared(tmp_path: Path) -> None:
    given = ["--events", "20000", "--out", str(tmp_path), "--json"]
    found = json.loads(CliRunner().invoke(readout, given, catch_exceptions=False).stdout)["results"][0]
    assert found["events"] == 20_000
    assert found["comparisons"] == len(METRICS) * (len(VARIANTS) - 1) == 20
    assert found["units"] > 500
    assert found["peak MB"] > found["of these before reading"] > 0
