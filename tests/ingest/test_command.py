import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from tailorbird.catalog.catalog import Catalog, Users
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.events.rows import user_keys
from tailorbird.events.validation import validate
from tailorbird.ingest.command import ingest
from tailorbird.ingest.mapping import builtin_mappings, load_mapping, parse_mapping
from tailorbird.ingest.quarantine import read_quarantine
from tailorbird.ingest.sources import read_tables
from tailorbird.privacy.keys.keyring import open_keyring
from tailorbird.privacy.keys.pseudonyms import Pseudonyms
from tailorbird.settings import Settings, load_settings
from tailorbird.simulator.shop import Shop
from tailorbird.streams.factory import open_events
from tailorbird.streams.scan import read_log

EVENTS = """message_id,type,user_id,item_id,event_time,value
m1,view,ann,cup,2024-05-01T10:00:00Z,
m2,click,ann,cup,2024-05-01T10:00:05Z,
m3,purchase,bob,lamp,2024-05-02T09:00:00Z,19.5
m3,purchase,bob,lamp,2024-05-02T09:00:00Z,19.5
m4,click,bob,ghost,2024-05-02T09:01:00Z,
m5,click,bob,cup,someday,
m6,click,bob,cup,2099-01-01T00:00:00Z,
m7,click,bob
m8,purchase,bob,cup,2024-05-02T09:02:00Z,dear
"""
ITEMS = "item_id,title,price\ncup,Cup,4.5\nlamp,Lamp,20\nlamp,Lamp again,21\n,Nameless,1\n"
USERS = '{"user_id": "ann", "age": 33}\n'


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TAILORBIRD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TAILORBIRD_WORKSPACE", "test")
    (tmp_path / "e.csv").write_text(EVENTS)
    (tmp_path / "i.csv").write_text(ITEMS)
    (tmp_path / "u.jsonl").write_text(USERS)
    return tmp_path


def run(*arguments: object) -> dict:
    result = invoke(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_without_a_basis_nothing_is_read_and_the_remedy_is_said(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAILORBIRD_PRIVACY", "")
    given = ("--events", files / "e.csv", "--items", files / "i.csv")
    with pytest.raises(UsageError, match="by which right") as refused:
        invoke_raising(*given)
    assert "[basis]" in (refused.value.remedy or "")
    assert "[privacy]" in (refused.value.remedy or "")
    settings = load_settings()
    assert not (settings.catalog_folder / "items.parquet").exists()
    assert not len(read_log(settings))
    own = files / "m.toml"
    own.write_text(
        '[privacy]\nbasis = "contract"\npurposes = ["analytics"]\n[events]\nsame_names = true\n'
        "[items]\nsame_names = true\n"
    )
    assert run(*given, "--mapping", own)["accepted"] == 3
    assert set(read_log(settings)["context"]) == {'{"basis":["analytics"]}'}


def test_a_policy_of_the_workspace_is_a_basis_for_what_says_none(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAILORBIRD_PRIVACY", "")
    settings = load_settings()
    settings.folder.mkdir(parents=True)
    (settings.folder / "privacy.toml").write_text('[basis]\nname = "consent"\n')
    run("--events", files / "e.csv", "--items", files / "i.csv")
    assert set(read_log(settings)["context"]) == {'{"basis":[]}'}


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ('basis = "because"\npurposes = ["analytics"]', "because"),
        ('basis = "contract"', "without purposes"),
        ('purposes = ["analytics"]', "without a basis"),
        ('basis = "contract"\npurposes = "analytics"', "privacy.purposes"),
    ],
)
def test_a_mapping_says_a_known_basis_and_its_purposes(said: str, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        parse_mapping(f"[privacy]\n{said}\n[events]\nsame_names = true\n", name="m")


@pytest.mark.parametrize("name", builtin_mappings())
def test_every_mapping_that_ships_says_its_basis(name: str) -> None:
    mapping = load_mapping(name)
    assert mapping.basis
    assert mapping.basis_purposes == ("analytics", "personalization")


def invoke_raising(*arguments: object) -> None:
    CliRunner().invoke(
        ingest, [str(argument) for argument in arguments], catch_exceptions=False, standalone_mode=False
    )


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(ingest, [str(argument) for argument in arguments], catch_exceptions=True)


def names(files: Path, *message_ids: str) -> list[str]:
    """Those under which messages are stored."""
    named = Pseudonyms(open_keyring(load_settings()).pseudonyms)
    return [named.message(each) for each in message_ids]


def options(files: Path) -> list[object]:
    return ["--events", files / "e.csv", "--items", files / "i.csv", "--users", files / "u.jsonl"]


def workspace(files: Path) -> Path:
    return files / "home" / "test"


def stored(files: Path) -> Settings:
    return load_settings(home=files / "home", workspace="test")


def test_every_row_is_accepted_or_in_quarantine_with_its_reason(files: Path) -> None:
    report = run(*options(files))
    assert (report["rows_in"], report["accepted"], report["quarantined"]) == (9, 3, 6)
    assert report["reasons"] == {
        "duplicate message_id": 1,
        "unknown item": 1,
        "bad time: event_time": 1,
        "future time": 1,
        "wrong type: value": 1,
        "broken line": 1,
    }
    assert (report["items_in"], report["items_quarantined"], report["items"]) == (4, 2, 2)
    assert read_log(stored(files))["message_id"].tolist() == names(files, "m1", "m2", "m3")
    keyring = open_keyring(load_settings())
    quarantine = pd.concat(
        [read_quarantine(Path(file), keyring=keyring) for file in report["quarantine_files"]]
    )
    assert len(quarantine) == 8
    assert set(quarantine["table"]) == {"events", "items"}
    by_raw = {row.raw: row.reason for row in quarantine.itertuples()}
    assert by_raw["m7,click,bob"] == "wrong number of columns: 3, not 6"
    assert any('"ghost"' in raw and "unknown item: 'ghost'" in reason for raw, reason in by_raw.items())
    assert any("Nameless" in raw and reason == "missing item_id" for raw, reason in by_raw.items())
    # Of two rows of one item the later counts.
    catalog = Catalog.read(workspace(files) / "catalog")
    assert dict(zip(catalog.item_ids, catalog.items["title"], strict=True)) == {
        "cup": "Cup",
        "lamp": "Lamp again",
    }
    assert Users.read(workspace(files) / "catalog").users["age"].tolist() == [33.0]


def test_ingesting_again_stores_nothing_twice(files: Path) -> None:
    first = run(*options(files))
    snapshot = {path: path.read_bytes() for path in sorted(workspace(files).rglob("*.parquet"))}
    again = run(*options(files), "--again")
    assert (again["stored"], again["already_stored"], again["accepted"]) == (0, 3, 3)
    assert again["quarantine_files"] == first["quarantine_files"]
    assert {path: path.read_bytes() for path in sorted(workspace(files).rglob("*.parquet"))} == snapshot


def test_the_same_clean_files_are_not_read_twice(files: Path) -> None:
    (files / "e.csv").write_text("\n".join(EVENTS.splitlines()[:4]) + "\n")
    run(*options(files))
    assert run(*options(files))["skipped"]
    # A row that was in the future may be in the past now, so such files are read again.
    (files / "e.csv").write_text(EVENTS)
    run(*options(files))
    assert not run(*options(files))["skipped"]
    # And so are files whose workspace lost its log.
    (files / "e.csv").write_text("\n".join(EVENTS.splitlines()[:4]) + "\n")
    shutil.rmtree(workspace(files) / "archive")
    for path in workspace(files).glob("events.db*"):
        path.unlink()
    assert run(*options(files))["stored"] == 3


def test_an_interrupted_run_is_finished_by_the_next(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in ("table_of_frame", "compact_stream", "keep_report"):
        module = "command" if step == "keep_report" else "workspace"
        with monkeypatch.context() as patched:

            def stop(*arguments, **given):
                raise KeyboardInterrupt

            patched.setattr(f"tailorbird.ingest.{module}.{step}", stop)
            result = invoke(*options(files))
            assert isinstance(result.exception, KeyboardInterrupt | SystemExit)
    assert run(*options(files), "--again")["accepted"] == 3
    assert read_log(stored(files))["message_id"].tolist() == names(files, "m1", "m2", "m3")


def test_new_items_follow_the_known_ones_and_newer_values_win(files: Path) -> None:
    run(*options(files))
    (files / "i.csv").write_text("item_id,title,price\nvase,Vase,7\ncup,Big cup,5\n")
    (files / "e.csv").write_text(
        "message_id,type,user_id,item_id,event_time\nn1,click,ann,vase,2024-05-03\nn2,click,ann,lamp,2024-05-04\n"
    )
    report = run(*options(files))
    assert (report["accepted"], report["items"]) == (2, 3)
    items = Catalog.read(workspace(files) / "catalog").items
    assert items["item_id"].tolist() == ["cup", "lamp", "vase"]
    assert items["price"].tolist() == [5.0, 21.0, 7.0]


def test_an_items_file_with_fewer_columns_blanks_nothing_and_the_old_price_is_remembered(files: Path) -> None:
    run(*options(files))
    (files / "i.csv").write_text("item_id,price\ncup,6\nlamp,\n")
    before = time.time()
    run(*options(files))
    catalog = Catalog.read_with_history(workspace(files) / "catalog")
    assert catalog.items["title"].tolist() == ["Cup", "Lamp again"]
    assert catalog.items["price"].tolist() == [6.0, 21.0]
    assert catalog.as_of(before).items["price"].tolist() == [4.5, 21.0]


def test_two_runs_at_once_lose_no_item(files: Path) -> None:
    for name in ("a", "b"):
        (files / f"e-{name}.csv").write_text(
            f"message_id,type,user_id,item_id,event_time\nm-{name},click,ann,item-{name},2024-05-03\n"
        )
        (files / f"i-{name}.csv").write_text(f"item_id,title\nitem-{name},Item {name}\n")
    runs = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tailorbird",
                "ingest",
                "--events",
                files / f"e-{name}.csv",
                "--items",
                files / f"i-{name}.csv",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for name in ("a", "b")
    ]
    for process in runs:
        _, complaint = process.communicate(timeout=60)
        assert process.returncode == 0, complaint
    assert sorted(Catalog.read(workspace(files) / "catalog").item_ids) == ["item-a", "item-b"]
    assert sorted(read_log(stored(files))["message_id"]) == sorted(names(files, "m-a", "m-b"))


def test_a_catalogue_is_whole_or_as_it_was(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(*options(files))
    folder = workspace(files) / "catalog"
    before = Catalog.read(folder).items

    def half(self: pd.DataFrame, path: Path, **given: object) -> None:
        Path(path).write_bytes(b"PAR1 and then the power went")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("tailorbird.catalog.files.pq.write_table", half)
        with pytest.raises(KeyboardInterrupt):
            Catalog.of_ids(["other"]).write(folder)
    pd.testing.assert_frame_equal(Catalog.read(folder).items, before)
    assert sorted(path.name for path in folder.glob("[!.]*")) == ["items.parquet", "users.parquet"]


def test_events_alone_are_checked_against_the_known_catalogue(files: Path) -> None:
    run(*options(files))
    (files / "e.csv").write_text(
        "message_id,type,user_id,item_id,event_time\nn1,click,ann,cup,2024-05-03\nn2,click,ann,new,2024-05-04\n"
    )
    report = run("--events", files / "e.csv")
    assert (report["accepted"], report["reasons"], report["items"]) == (1, {"unknown item": 1}, 2)


def test_events_alone_make_a_catalogue_of_ids_that_grows(files: Path) -> None:
    for number, item in enumerate(["cup", "new"]):
        (files / "e.csv").write_text(
            f"message_id,type,user_id,item_id,event_time\nn{number},click,ann,{item},2024-05-03\n"
        )
        report = run("--events", files / "e.csv")
        assert (report["accepted"], report["quarantined"]) == (1, 0)
    assert Catalog.read(workspace(files) / "catalog").item_ids.tolist() == ["cup", "new"]


def test_a_file_of_which_nothing_fits_is_an_error_after_its_report(files: Path) -> None:
    (files / "e.csv").write_text(
        "message_id,type,user_id,item_id,event_time\nn1,click,ann,ghost,2024-05-03\n"
    )
    result = invoke(*options(files), "--json")
    assert json.loads(result.stdout)["quarantined"] == 1
    assert isinstance(result.exception, TailorbirdError)
    assert "none of the 1 events was accepted: unknown item" in result.exception.what


def test_columns_that_are_missing_altogether_are_named(files: Path) -> None:
    (files / "e.csv").write_text("message_id,type,user_id,item_id,when\nn1,click,ann,cup,2024-05-03\n")
    result = invoke("--events", files / "e.csv")
    assert isinstance(result.exception, UsageError)
    assert "e.csv has no column event_time; it has message_id" in result.exception.what


def test_order_only_data_is_accepted_and_says_so(files: Path) -> None:
    (files / "e.csv").write_text("who,what\n1,a\n1,b\n2,a\n")
    (files / "m.toml").write_text(
        '[events.columns]\ntype = { constant = "click" }\nuser_id = "who"\nitem_id = "what"\nevent_time = { order = "row" }\n'
    )
    report = run("--events", files / "e.csv", "--mapping", files / "m.toml")
    assert report["ordered_only"]
    assert report["accepted"] == 3
    again = invoke("--events", files / "e.csv", "--mapping", files / "m.toml")
    assert "order and no times" in again.stderr


def test_a_half_written_file_stores_nothing(files: Path) -> None:
    (files / "i.csv").write_text(ITEMS.rstrip("\n,1") + "\nvase,Va")
    result = invoke(*options(files))
    assert isinstance(result.exception, TailorbirdError)
    assert "i.csv" in result.exception.what
    assert not (workspace(files) / "catalog").exists()
    assert not (workspace(files) / "events.db").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "nothing to ingest"),
        (["--data", "shop"], "without --path"),
        (["--data", "nope", "--path", "."], "no mapping 'nope'"),
        (["--data", "shop", "--mapping", "m.toml"], "both --data shop and --mapping m.toml"),
        (["--events", "nowhere.csv"], "no file nowhere.csv"),
        (["--data", "shop", "--path", "/nowhere/at/all"], "no folder /nowhere/at/all"),
        (["--events", "e.csv", "--workspace", "BAD NAME"], "setting workspace = 'BAD NAME'"),
    ],
)
def test_a_wrong_call_names_the_value(files: Path, arguments: list[str], complaint: str) -> None:
    result = invoke(*arguments)
    assert isinstance(result.exception, UsageError)
    assert complaint in result.exception.what


def test_the_simulated_shop_goes_through_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILORBIRD_HOME", str(tmp_path / "home"))
    shop = Shop.make(60, 3)
    shop.write(tmp_path / "files")
    report = run("--data", "shop", "--path", tmp_path / "files", "--workspace", "toy")
    assert report["accepted"] == report["rows_in"] == len(shop.events())
    pd.testing.assert_frame_equal(
        Catalog.read(tmp_path / "home" / "toy" / "catalog").items, shop.catalog.items, check_dtype=False
    )
    with open_events(load_settings(home=tmp_path / "home", workspace="toy")) as log:
        assert log.end()[0] == report["rows_in"]


@pytest.mark.real_data
@pytest.mark.slow
def test_a_published_data_set_is_ingested_row_for_row(
    data_root: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAILORBIRD_HOME", str(settings.home))
    report = run("--data", "amazon-beauty", "--path", data_root / "amazon-beauty", "--workspace", "real")
    assert (report["rows_in"], report["accepted"], report["items"]) == (198_502, 198_502, 12_101)
    log = read_log(load_settings(home=settings.home, workspace="real"))
    assert len(log) == 198_502
    assert not log.duplicated(["user_key", "event_time"]).any()


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "rows", "accepted", "items", "users"),
    [
        ("movielens-1m", 487_650, 487_650, 3_883, 6_040),
        ("online-retail", 541_909, 541_160, 4_026, 4_372),
        ("diginetica", 906_140, 906_140, 43_097, 0),
    ],
)
@pytest.mark.slow
def test_published_rows_are_all_accounted_for(
    data_root: Path, name: str, rows: int, accepted: int, items: int, users: int
) -> None:
    mapping = load_mapping(name)
    tables = read_tables(mapping, path=data_root / name)
    assert (len(tables.events), len(tables.items), len(tables.users.users)) == (rows, items, users)
    assert not tables.events.assign(key=user_keys(tables.events)).duplicated(["key", "event_time"]).any()
    validated = validate(
        tables.events,
        catalog_ids=set(tables.items.item_ids),
        now=1.7e9,
        max_events_per_minute=mapping.max_events_per_minute,
    )
    assert len(validated.accepted) == accepted
    assert len(validated.accepted) + len(validated.quarantined) == rows


@pytest.mark.real_data
def test_published_sequences_keep_their_order(data_root: Path) -> None:
    tables = read_tables(load_mapping("amazon-beauty"), path=data_root / "amazon-beauty")
    assert tables.ordered_only
    sample = tables.events.assign(position=tables.sources["events"].frame["position"]).head(5_000)
    sample = sample.sort_values(["user_id", "event_time"])
    assert (sample.groupby("user_id")["position"].diff().dropna() > 0).all()
