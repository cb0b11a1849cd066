"""Ingesting again, or files that overlap: what is in the log is not stored twice, and the report says so."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tailorbird.ingest.command import ingest
from tailorbird.privacy.keys.keyring import open_keyring
from tailorbird.privacy.keys.pseudonyms import Pseudonyms
from tailorbird.settings import load_settings
from tailorbird.streams.scan import read_log

HEADER = "type,user_id,item_id,event_time,value\n"
GOOD = "".join(
    f"click,u{number},i{number % 5},2024-05-01T10:00:{number % 60:02d}Z,{'' if number % 2 else 1.5}\n"
    for number in range(199)
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TAILORBIRD_HOME", str(tmp_path))
    monkeypatch.setenv("TAILORBIRD_WORKSPACE", "test")
    return tmp_path


def run(home: Path, text: str, *options: str) -> dict:
    (home / "e.csv").write_text(text)
    result = CliRunner().invoke(ingest, ["--events", str(home / "e.csv"), "--json", *options])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_report_of_the_same_files_says_that_nothing_was_stored(home: Path) -> None:
    first = run(home, HEADER + GOOD)
    again = run(home, HEADER + GOOD)
    assert (first["stored"], first["already_stored"], first["skipped"]) == (199, 0, False)
    assert (again["stored"], again["already_stored"], again["skipped"]) == (0, 199, True)
    said = CliRunner().invoke(ingest, ["--events", str(home / "e.csv")]).stdout.splitlines()
    assert {"stored: 0", "already stored: 199"} <= set(said)


def test_under_another_master_key_the_same_files_are_not_said_to_be_there(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(home, HEADER + GOOD)
    monkeypatch.setenv("TAILORBIRD_MASTER_KEY", "A" * 43 + "=")
    result = CliRunner().invoke(ingest, ["--events", str(home / "e.csv")])
    assert "does not open" in str(result.exception)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("click,u\n", "click,u1,i1,someday,\n"),
        ("click,u1,i1,someday,\n", "click,u1,i1,2024-05-01T10:00:00Z,dear\n"),
        ("click,u1,i1,2024-05-01T10:00:00Z,dear\n", 'click,u1,"i1,2024-05-01T10:00:00Z,\n'),
        # A bad row that is else like a good one takes no number from it.
        ("click,u1,i1,2024-05-01T10:00:01Z,dear\n", "click,u1,i1,2024-05-01T10:00:01Z,cheap\n"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_rows_that_two_files_share_are_stored_once_whatever_else_is_broken(
    home: Path, one: str, other: str, first: bool
) -> None:
    texts = [HEADER + (bad + GOOD if first else GOOD + bad) for bad in (one, other)]
    reports = [run(home, text) for text in texts]
    assert [(each["stored"], each["already_stored"]) for each in reports] == [(199, 0), (0, 199)]
    assert [each["quarantined"] for each in reports] == [1, 1]
    assert len(read_log(load_settings(home=home, workspace="test"))) == 199


def test_logins_of_a_file_divide_their_devices_once(home: Path) -> None:
    """The word under the device is written beside each, however often the file comes in."""
    header = "type,user_id,anonymous_id,item_id,event_time\n"
    rows = (
        "click,,a7,i1,2024-05-01T10:00:00Z\n"
        "identify,ann,a7,,2024-05-01T10:01:00Z\n"
        "identify,bob,a7,,2024-05-01T10:02:00Z\n"
        "logout,bob,a7,,2024-05-01T10:03:00Z\n"
    )
    assert run(home, header + rows)["stored"] == 4
    run(home, header + rows + "click,u1,,i2,2024-05-01T10:00:00Z\n")
    log = read_log(load_settings())
    words = log[log["user_id"].isna() & (log["type"] != "click")].sort_values("event_time")
    assert words["type"].tolist() == ["device_login", "device_login", "logout"]
    names = Pseudonyms(open_keyring(load_settings()).pseudonyms)
    assert set(words["user_key"]) == {names.person("a7", anonymous=True)}
