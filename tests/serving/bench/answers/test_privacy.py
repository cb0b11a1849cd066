"""The measurement of what privacy costs measures something on a small world; how much it is, is no test."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from serving.bench.answers.privacy import privacy


@pytest.mark.slow
def test_both_kinds_are_answered_and_stored(tmp_path: Path) -> None:
    words = ["--out", str(tmp_path), "--items", "300", "--users", "100", "--blocks", "3", "--json"]
    result = CliRunner().invoke(privacy, words, catch_exceptions=False)
    found = json.loads(result.stdout)
    assert found == json.loads((tmp_path / "privacy.json").read_text())
    assert found["recommendation_us"] > 0
    assert found["event_us"] > 0
    assert found["recommendation_cost"] > -1
    assert found["event_cost"] > -1
