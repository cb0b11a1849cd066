"""The measurement of what experiments cost an answer measures something on a small world; how much it is, is no test."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from serving.bench.answers.experiments import experiments


@pytest.mark.slow
def test_answers_with_and_without_experiments_are_timed(tmp_path: Path) -> None:
    words = ["--out", str(tmp_path), "--items", "300", "--users", "100", "--pairs", "3", "--json"]
    result = CliRunner().invoke(experiments, [*words, "--experiments", "4"], catch_exceptions=False)
    found = json.loads(result.stdout)
    assert found == json.loads((tmp_path / "experiments.json").read_text())
    for name in ("pages", "slates"):
        assert found[f"{name}_answers_ratio"] > 0
        assert found[f"{name}_answer_cpu_ms"] > 0
