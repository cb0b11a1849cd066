"""The benchmark of shadows asks with and without one, and says how often it answered too."""

import json

import pytest
from click.testing import CliRunner

from serving.bench.answers.shadow import shadow


@pytest.mark.slow
def test_rounds_with_and_without_a_shadow_are_told_apart(tmp_path):
    given = [
        "--out",
        str(tmp_path),
        "--items",
        "300",
        "--users",
        "100",
        "--rounds",
        "1",
        "--seconds",
        "0.5",
        "--json",
    ]
    found = json.loads(CliRunner().invoke(shadow, given, catch_exceptions=False).stdout)
    assert found == json.loads((tmp_path / "shadow.json").read_text("utf-8"))
    assert 0 < found["answered_too"] + found["dropped"] <= 50
    assert found["answered_too"] > 0
    assert 0 < found["overlap"] <= 1
    assert found["with_ratio_p50"] > 0
    assert found["again_ratio_p50"] > 0
