"""``tailorbird items``: told, shown and deleted without a running platform."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tailorbird.cli import tailorbird
from tailorbird.errors import TailorbirdError


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TAILORBIRD_HOME", str(tmp_path / "home"))

    def run(*words: str) -> Result:
        return CliRunner().invoke(tailorbird, ["items", *words, "--json"], catch_exceptions=True)

    return run


def test_items_are_told_shown_and_deleted(run, tmp_path: Path) -> None:
    file = tmp_path / "more.jsonl"
    file.write_text('{"item_id": "cup", "price": 3, "attributes": {"color": "red"}}\n{"price": 1}\n')
    told = json.loads(run("put", str(file)).stdout)
    assert (told["accepted"], told["quarantined"], told["sequence"]) == (1, 1, 1)
    shown = json.loads(run("show", "cup").stdout)
    assert (shown["price"], shown["stock"], shown["attributes"]) == (3.0, None, '{"color":"red"}')
    assert json.loads(run("delete", "cup").stdout)["deleted"]
    assert json.loads(run("show", "cup").stdout)["deleted_at"] > 0
    nobody = run("delete", "nobody").exception
    assert isinstance(nobody, TailorbirdError)
    assert "no item 'nobody'" in str(nobody)
