"""What a command prints: a person reads no Python, a program reads typed JSON."""

import json
from collections.abc import Callable

import pytest

from tailorbird.plumbing.terminal import emit, say, stderr, table

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


ROWS = [
    {"id": "a1b2c3d4e5f60718", "at": "2026-11-29T22:05:59+01:00", "said": f"{word} and so on and on", "n": 7}
    for word in ("one", "another")
]


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Make the terminal so many columns wide."""

    def to(columns: int) -> None:
        monkeypatch.setattr(stderr, "_width", None)  # what stood in COLUMNS when it was made
        monkeypatch.setenv("COLUMNS", str(columns))

    return to


def printed(capfd: pytest.CaptureFixture[str]) -> list[str]:
    return capfd.readouterr().err.splitlines()


def test_a_file_gets_a_row_on_a_line(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    table([{**row, "path": "/a" * 100} for row in ROWS])
    assert [line.split()[0] for line in printed(capfd)] == ["id", *(row["id"] for row in ROWS)]


def test_a_narrow_terminal_folds_sentences_and_nothing_else(
    capfd: pytest.CaptureFixture[str], narrow: Callable[[int], None]
) -> None:
    narrow(54)
    table([{**row, "trouble": ""} for row in ROWS], title="said")
    assert printed(capfd) == [
        "said",
        "id                at                said             n",
        "a1b2c3d4e5f60718  2026-11-29 21:05  one and so on    7",
        "                                    and on",
        "a1b2c3d4e5f60718  2026-11-29 21:05  another and so   7",
        "                                    on and on",
    ]


def test_where_ids_would_break_each_row_is_a_block(
    capfd: pytest.CaptureFixture[str], narrow: Callable[[int], None]
) -> None:
    narrow(40)
    table(ROWS[:1])
    assert printed(capfd) == [
        "id    a1b2c3d4e5f60718",
        "at    2026-11-29 21:05",
        "said  one and so on and on",
        "n     7",
    ]


@pytest.mark.parametrize(
    "said", ["2026-02-30 10:00", "2026-02-28T24:00:01", "9999-12-31T23:59:59-01:00", "user:heart:5"]
)
def test_what_only_looks_like_an_instant_or_an_emoji_is_said_as_it_is(
    capfd: pytest.CaptureFixture[str], said: str
) -> None:
    table([{"said": said}])
    assert printed(capfd) == ["said", said]


def test_no_cell_breaks_its_row_or_moves_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    table([{"said": "one\r\ntwo\tthree\x1b[2J\u2028four", "n": 3}])
    assert printed(capfd) == ["said                    n", "one two three [2J four  3"]


def test_a_long_text_is_folded(capfd: pytest.CaptureFixture[str], narrow: Callable[[int], None]) -> None:
    narrow(40)
    table([{"id": "a1", "said": "word " * 100_000}])
    assert max(map(len, printed(capfd))) <= 40
