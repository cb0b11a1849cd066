"""What a command prints: a person reads no Python, a program reads typed JSON."""

import json

import pytest

from tailorbird.plumbing.terminal import emit, say, table

RESULT = {
    "before": None,
    "metrics": {"ndcg@10": 0.41237, "hr@10": "0.7 [0.6, 0.8]"},
    "position": {"0": 4037},
    "skipped": {},
    "parts": [1, "two", None],
    "rows": [{"a": 1}, {"a": 2}],
    "fresh": True,
    "cases": 4330,
}


def test_a_person_reads_no_python(capsys: pytest.CaptureFixture[str]) -> None:
    emit(RESULT, as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "before: -",
        "metrics: ndcg@10 = 0.4124, hr@10 = 0.7 [0.6, 0.8]",
        "position: 0 = 4,037",
        "skipped: -",
        "parts: 1, two, -",
        "rows: a = 1; a = 2",
        "fresh: yes",
        "cases: 4,330",
    ]
    table([{"gate": "quality", "verdict": None}])
    assert "None" not in capsys.readouterr().err


def test_a_program_reads_typed_json(capsys: pytest.CaptureFixture[str]) -> None:
    emit(RESULT, as_json=True)
    assert json.loads(capsys.readouterr().out) == RESULT


def test_brackets_are_said_as_they_are(capfd: pytest.CaptureFixture[str]) -> None:
    say("write [basis] into privacy.toml [/b]")
    table([{"remedy": "write [basis]", "title": "[/red] shoes"}])
    said = capfd.readouterr().err
    assert "write [basis] into privacy.toml [/b]" in said
    assert "write [basis]  " in said
    assert "[/red] shoes" in said
