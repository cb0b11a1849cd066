"""Files as strangers bring them: other delimiters, decimal commas, repeated names and rows; and what is said of them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tailorbird.cli import tailorbird
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.ingest.files import read_source
from tailorbird.ingest.mapping import parse_mapping
from tailorbird.plumbing.terminal import stderr
from tailorbird.settings import load_settings
from tailorbird.streams.scan import read_log
from tests.docs.test_docs import ROOT

BASIS = '[privacy]\nbasis = "contract"\npurposes = ["analytics"]\n'
SAME = BASIS + "[events]\nsame_names = true\n"
HEADER = "type,user_id,item_id,event_time,value\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TAILORBIRD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TAILORBIRD_WORKSPACE", "test")
    monkeypatch.setenv("TAILORBIRD_PRIVACY", "")
    monkeypatch.setattr(stderr, "_width", None)  # what stood in COLUMNS when it was made
    (tmp_path / "same.toml").write_text(SAME)
    return tmp_path


def invoke(*arguments: object, columns: int = 300) -> Result:
    return CliRunner().invoke(tailorbird, [str(each) for each in arguments], env={"COLUMNS": str(columns)})


def ingested(home: Path, text: str, *, mapping: str = "same.toml", name: str = "e.csv") -> dict:
    (home / name).write_text(text)
    result = invoke("ingest", "--events", home / name, "--mapping", home / mapping, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(*arguments: object) -> TailorbirdError:
    result = invoke(*arguments)
    assert isinstance(result.exception, TailorbirdError), result.output
    return result.exception


@pytest.mark.parametrize("name", ["e.csv", "e.tsv"])
def test_a_repeated_header_names_the_column_and_the_file(home: Path, name: str) -> None:
    text = "type,type,user_id,item_id,event_time\nclick,click,ann,cup,2024-05-01\n"
    (home / name).write_text(text.replace(",", "\t") if name == "e.tsv" else text)
    error = refused("ingest", "--events", home / name, "--mapping", home / "same.toml", "--json")
    assert error.exit_code == 2
    assert "'type'" in error.what
    assert name in error.what
    assert "header" in error.remedy


def test_cells_without_a_name_may_repeat(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("a,b,,\n1,2,,\n")
    assert read_source(tmp_path / "e.csv").frame["a"].tolist() == ["1"]


def test_a_german_export_is_read_as_its_page_says(home: Path) -> None:
    _, *blocks = (ROOT / "docs" / "ingest.md").read_text().split("A German export")[1].split("```")
    (home / "bestellungen.csv").write_text(blocks[0].removeprefix("text\n"))
    (home / "m.toml").write_text(blocks[2].removeprefix("toml\n"))
    result = invoke("ingest", "--mapping", home / "m.toml", "--json")
    assert result.exit_code == 0, result.output
    log = read_log(load_settings()).sort_values("event_time")
    assert log["type"].tolist() == ["purchase", "purchase", "view"]
    assert log["value"].tolist()[:2] == [12.5, 1234.5]
    assert log["event_time"].dt.strftime("%m-%d %H:%M").tolist() == [
        "11-17 09:30",
        "11-17 10:05",
        "11-18 18:00",
    ]


@pytest.mark.parametrize("first", ["bash", "python"])
def test_the_examples_of_the_page_say_by_which_right(home: Path, first: str) -> None:
    page = (ROOT / "docs" / "ingest.md").read_text()
    if first == "bash":
        text = page.split("```toml\n")[1].split("```")[0]
        events = HEADER + "click,ann,cup,2024-05-01,\n"
    else:
        text = page.split('parse_mapping(\n    """')[1].split('"""')[0]
        events = "customer,sku,ordered_at,unit_price\nann,cup,2024-05-01,4.5\n"
    (home / "own.toml").write_text(text)
    assert ingested(home, events, mapping="own.toml")["accepted"] == 1


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_file_that_is_one_column_names_the_key_that_parts_it(home: Path, delimiter: str) -> None:
    text = (HEADER + "click,ann,cup,2024-05-01,\n").replace(",", delimiter)
    (home / "e.csv").write_text(text)
    said = f"delimiter = {json.dumps(delimiter)}"
    assert said in refused("ingest", "--events", home / "e.csv", "--mapping", home / "same.toml").remedy
    (home / "named.toml").write_text(
        BASIS + "[events.columns]\ntype = 'type'\nuser_id = 'user_id'\nevent_time = 'event_time'\n"
    )
    assert said in refused("ingest", "--events", home / "e.csv", "--mapping", home / "named.toml").remedy
    (home / "own.toml").write_text(SAME + said)
    assert ingested(home, text, mapping="own.toml")["accepted"] == 1


@pytest.mark.parametrize("value", ['";;"', '"ä"', "'\"'", "1"])
def test_a_delimiter_is_one_plain_character(value: str) -> None:
    with pytest.raises(UsageError, match="delimiter"):
        parse_mapping(f"[events]\nsame_names = true\ndelimiter = {value}\n", name="m")


@pytest.mark.parametrize(
    "said", ['{ time = "t", format = "%Q" }', '{ time = "t", format = 3 }', '{ column = "t", decimal = ";" }']
)
def test_a_wrong_format_is_an_error_of_the_mapping(said: str) -> None:
    with pytest.raises(UsageError, match=r"format|decimal"):
        parse_mapping(f"[events]\nsame_names = true\n[events.columns]\nevent_time = {said}\n", name="m")


def test_a_refused_value_is_told_by_its_field_and_look_alone(home: Path) -> None:
    text = "type;user_id;item_id;event_time;value\nclick;ann;cup;2024-05-01;\nclick;ann;cup;17.11.2026;\npurchase;ann;cup;2024-05-02;12,57\n"
    (home / "own.toml").write_text(SAME + 'delimiter = ";"\n')
    report = ingested(home, text, mapping="own.toml")
    assert report["reasons"] == {"bad time: event_time": 1, "wrong type: value": 1}
    assert "'99,99'" in report["hints"]["wrong type: value"]
    assert "decimal" in report["hints"]["wrong type: value"]
    assert "'99.99.9999'" in report["hints"]["bad time: event_time"]
    shown = invoke("ingest", "--events", home / "e.csv", "--mapping", home / "own.toml", "--again")
    assert "wrong type: value: looks like '99,99'" in shown.stderr
    assert "12,57" not in shown.output


def test_each_field_of_a_row_is_told_once_and_no_word_of_a_value(home: Path) -> None:
    row = 'purchase;ann;cup;17.11.2026;"1; wrong type: Smith 5"\n'
    (home / "own.toml").write_text(SAME + 'delimiter = ";"\n')
    text = HEADER.replace(",", ";") + "click;ann;cup;2024-05-01;\n" + row
    hints = ingested(home, text + 2 * "purchase;ann;cup;17.11.2026;9,5\n", mapping="own.toml")["hints"]
    assert sorted(hints) == ["bad time: event_time", "wrong type: value"]
    assert "Smith" not in str(hints)


def test_a_basis_of_the_mapping_is_not_said_to_be_missing(home: Path) -> None:
    (home / "e.csv").write_text(HEADER + "click,ann,cup,2024-05-01,\n")
    said = invoke("ingest", "--events", home / "e.csv", "--mapping", home / "same.toml").stderr
    assert "no legal basis" not in said
    assert "the mapping's own basis, contract; what people do live has none" in said


ROW = "click,ann,cup,2024-05-01T10:00:00Z,1\n"


@pytest.mark.parametrize(
    ("rows", "count", "line"),
    [
        ([ROW, ROW.replace("ann", "bob"), ROW, ROW], 2, 4),
        ([ROW, "click,ann\n", ROW], 1, 4),
        ([ROW, ROW.replace("cup", '"a\nb"'), ROW], 1, 5),
        ([ROW, "\n", 'click,"ann,cup\n', ROW], 1, 5),
    ],
)
def test_repeated_rows_are_counted_and_the_first_is_found(
    home: Path, rows: list[str], count: int, line: int
) -> None:
    (anomaly,) = [
        each
        for each in ingested(home, HEADER + "".join(rows))["anomalies"]
        if each["kind"] == "repeated rows"
    ]
    assert anomaly["value"] == count
    assert f"line {line} of the file" in anomaly["message"]


def test_repeated_lines_of_json_are_found_where_a_record_makes_several_rows(home: Path) -> None:
    (home / "own.toml").write_text(
        BASIS
        + '[events]\nrecords = true\neach = "goods"\n[events.columns]\ntype = { constant = "view" }\nuser_id = "who"\n'
        'item_id = "goods.sku"\nevent_time = { time = "at" }\n'
    )
    line = json.dumps({"who": "ann", "at": "2024-05-01", "goods": [{"sku": "a"}, {"sku": "b"}]}) + "\n"
    (anomaly,) = ingested(home, "\n" + line + line, mapping="own.toml", name="e.jsonl")["anomalies"]
    assert (anomaly["kind"], anomaly["value"]) == ("repeated rows", 2)
    assert "line 3 of the file" in anomaly["message"]


@pytest.mark.parametrize(
    "other",
    [
        ROW.replace("cup", "lamp"),
        ROW.replace("10:00:00", "10:00:01"),
        ROW.replace(",1\n", ",2\n"),
        "click,ann,cup,someday,1\n" * 2,
    ],
)
def test_rows_that_differ_or_are_refused_are_no_repeated_rows(home: Path, other: str) -> None:
    assert ingested(home, HEADER + ROW + other)["anomalies"] == []


def test_a_context_that_differs_is_no_repeated_row(home: Path) -> None:
    rows = [
        json.dumps(
            {"type": "view", "user_id": "a", "item_id": "i", "event_time": "2024-05-01", "context": {"n": n}}
        )
        for n in (1, 2)
    ]
    assert ingested(home, "\n".join(rows) + "\n", name="e.jsonl")["anomalies"] == []


def test_a_quarantine_of_another_workspace_asks_for_it(home: Path) -> None:
    (file,) = ingested(home, HEADER + ROW + "click,ann,cup,someday,\n")["quarantine_files"]
    assert "--workspace" in refused("quarantine", file, "--workspace", "other").remedy


def test_a_narrow_terminal_shows_each_field_of_a_refused_row_whole(home: Path) -> None:
    title = "a-long-name-of-a-thing-that-no-terminal-may-cut-in-two"
    (file,) = ingested(home, HEADER + ROW + f"click,ann,{title},someday,\n")["quarantine_files"]
    lines = [line.split() for line in invoke("quarantine", file, columns=80).stderr.splitlines()]
    assert ["raw.item_id", title] in lines
    assert ["raw.event_time", "someday"] in lines


def test_a_home_that_is_a_file_is_said_to_be_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "home").write_text("")
    for path in ("home", "home/within"):
        monkeypatch.setenv("TAILORBIRD_HOME", str(home / path))
        error = refused("quarantine")
        assert f"{home / 'home'} is a file" in error.what
        assert "TAILORBIRD_HOME" in error.remedy
