"""The files that a mapping names: beside it, in the folder of --path, or by their absolute names."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tailorbird.errors import UsageError
from tailorbird.ingest.command import ingest

EVENTS = "message_id,type,user_id,item_id,event_time\n{id},click,ann,cup,2024-05-03\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TAILORBIRD_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for place in ("beside", "elsewhere"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "e.csv").write_text(EVENTS.format(id=place))
        (tmp_path / place / "i.csv").write_text(f"item_id,title\ncup,{place}\n")
    write_mapping(tmp_path, file="e.csv")
    return tmp_path


def write_mapping(folder: Path, *, file: str) -> None:
    (folder / "beside" / "m.toml").write_text(
        f'[events]\nfile = "{file}"\nsame_names = true\n[items]\nfile = "i.csv"\nsame_names = true\n'
    )


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(ingest, ["--mapping", "beside/m.toml", "--json", *map(str, arguments)])


def titles_of(folder: Path) -> list[str]:
    from tailorbird.catalog.catalog import Catalog
    from tailorbird.settings import load_settings

    return Catalog.read(load_settings().catalog_folder).items["title"].tolist()


def accepted(result: Result) -> int:
    assert result.exit_code == 0, result.output
    return int(json.loads(result.stdout)["accepted"])


def test_a_relative_name_is_looked_up_beside_the_mapping(folder: Path) -> None:
    assert accepted(invoke()) == 1
    assert titles_of(folder) == ["beside"]


def test_a_relative_name_is_looked_up_in_the_folder_of_path(folder: Path) -> None:
    assert accepted(invoke("--path", "elsewhere")) == 1
    assert titles_of(folder) == ["elsewhere"]


def test_an_absolute_name_is_taken_as_it_is(folder: Path) -> None:
    (folder / "elsewhere" / "far.csv").write_text(EVENTS.format(id="far"))
    write_mapping(folder, file=str(folder / "elsewhere" / "far.csv"))
    for place in ((), ("--path", "elsewhere")):
        assert accepted(invoke(*place)) == 1


def test_the_command_line_goes_before_the_mapping(folder: Path) -> None:
    assert accepted(invoke("--items", "elsewhere/i.csv")) == 1
    assert titles_of(folder) == ["elsewhere"]


def test_a_file_that_is_named_and_not_there_is_an_error(folder: Path) -> None:
    write_mapping(folder, file="none.csv")
    result = invoke()
    assert isinstance(result.exception, UsageError)
    assert "no file beside/none.csv" in result.exception.what


def test_the_same_files_are_known_again_wherever_the_mapping_lies(folder: Path) -> None:
    invoke()
    (folder / "beside").rename(folder / "moved")
    again = CliRunner().invoke(ingest, ["--mapping", "moved/m.toml", "--json"])
    assert json.loads(again.stdout)["skipped"]
