"""The bench of erasures runs, at a small size, and counts that nobody else lost anything."""

import json
from pathlib import Path

from click.testing import CliRunner

from serving.bench.streams.erasure import erasure


def test_a_small_bench_says_how_long_it_took_and_that_nothing_else_went(tmp_path: Path) -> None:
    asked = ["--people", "50", "--events", "2000", "--many", "10", "--out", str(tmp_path), "--json"]
    ran = CliRunner().invoke(erasure, asked)
    assert ran.exit_code == 0, ran.output
    figures = json.loads((tmp_path / "erasure.json").read_text())
    assert figures["events_of_others_lost"] == 0
    assert figures["one"]["found"] > 0
    assert figures["10 at once"]["found"] > 5 * figures["one"]["found"]
    assert [each.name for each in tmp_path.iterdir()] == ["erasure.json"]
