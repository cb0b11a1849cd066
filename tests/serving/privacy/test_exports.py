"""An export tells everything that lies anywhere of a person, in words; a download that broke off goes on."""

import json
import threading
import time
import tracemalloc

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from feature_repo.portraits import Portraits
from serving.privacy.erasures import erase_while_serving, open_erasing
from serving.privacy.export_command import export
from serving.privacy.exports import Exports
from tailorbird.privacy.export.export import Section, write_export
from tailorbird.privacy.export.shelf import KEPT_SECONDS, ExportShelf
from tailorbird.privacy.people.person import keys_of
from tests.serving.privacy.life import COOKIES, USERS, bytes_with, live
from tests.serving.world import World

WINIFRED = USERS[0]
LEDGERS = tuple(f"{name}.db{end}" for name in ("suppressed", "erasures") for end in ("", "-wal", "-shm"))


@pytest.fixture
def lived(make_world) -> World:
    world = make_world()
    world.folders = [world.settings.folder, live(world)]
    return world


@pytest.fixture
def key(lived) -> str:
    return lived.key(f"user:{WINIFRED}")


@pytest.fixture
def exports(lived) -> Exports:
    return Exports(
        lived.settings, door=lived.door, portraits=Portraits(lived.settings, clock=lambda: lived.clock)
    )


def test_every_section_has_what_its_place_counts(lived, exports, tmp_path, key):
    counts = exports.write(key, tmp_path / "all.json", form="json")
    said = json.loads((tmp_path / "all.json").read_text())
    people = keys_of(lived.log, [key])[key]
    assert said["keys"] == list(people)
    sections = {each["name"]: each for each in said["sections"]}
    assert counts == {name: each["count"] for name, each in sections.items()}
    for place in open_erasing(lived.settings).places:
        counted = sum(place.count(people).values())
        assert (place.name, len(sections[place.name]["rows"])) == (place.name, counted)
        assert sections[place.name]["about"] == place.words
    assert all(row["words"] for each in said["sections"] for row in each["rows"])
    text = (tmp_path / "all.json").read_text()
    assert all(name not in text for name in USERS[1:])
    assert all(name in text for name in COOKIES[WINIFRED])


def test_what_follows_is_told_in_words(lived, exports, tmp_path, key):
    exports.write(key, tmp_path / "all.json", form="json")
    sections = {
        each["name"]: each["rows"] for each in json.loads((tmp_path / "all.json").read_text())["sections"]
    }
    (profile,) = sections["profile"]
    assert profile["events"] == 18
    (experiment,) = sections["experiments"]
    assert (experiment["arm"], experiment["answers"]) == ("champion", 2)
    assert sum(each["answers"] for each in sections["decisions"]) == 2
    assert [(each["alias"], each["version"], each["held"]) for each in sections["models"]] == [
        ("champion", "1", "yes")
    ]
    assert sections["consents"] == []
    shown = sections["exposures"][0]["items"][0]
    assert shown["because"]
    views = [row for row in sections["events"] if row["type"] == "view"]
    assert len(views) == 18
    assert views[0]["words"].startswith("you viewed i")


def test_parquet_holds_the_same_rows(exports, tmp_path, key):
    exports.write(key, tmp_path / "all.json", form="json")
    counts = exports.write(key, tmp_path / "all.parquet", form="parquet")
    table = pq.read_table(tmp_path / "all.parquet").to_pylist()
    said = json.loads((tmp_path / "all.json").read_text())["sections"]
    rows = {each["name"]: each["rows"] for each in said}
    assert sum(counts.values()) == len(table)
    for name in ("events", "exposures", "users", "runs"):
        mine = [json.loads(row["data"]) for row in table if row["section"] == name]
        assert mine == rows[name]
        assert [row["number"] for row in table if row["section"] == name] == list(range(len(mine)))


def test_of_nobody_there_is_nothing(exports, tmp_path):
    counts = exports.write("user:nobody", tmp_path / "all.json", form="json")
    assert {name for name, count in counts.items() if count} == {"models"}


def test_memory_does_not_grow_with_the_rows(tmp_path):
    def peak(rows: int) -> int:
        many = Section("many", "rows", lambda: ({"n": n, "words": "x" * 200} for n in range(rows)))
        tracemalloc.start()
        write_export([many], tmp_path / "many.json", form="json", head={})
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(100)
    assert peak(40_000) < 2 * peak(400) + 200_000


def test_an_export_lies_on_the_shelf_for_a_while_and_goes_with_the_person(lived, exports, key):
    path = exports.make(key, form="json")
    assert path.stat().st_mode & 0o777 == 0o600
    assert exports.shelf.newest(key, form="json") == path
    assert exports.shelf.newest(key, form="parquet") is None
    later = ExportShelf(lived.settings.folder, clock=lambda: time.time() + KEPT_SECONDS + 5)
    other = exports.make(lived.key(f"user:{USERS[1]}"), form="json")
    erasing = open_erasing(lived.settings)
    asked = erasing.ask(key)
    erasing.run()
    assert erasing.ledger.find(asked.id).place("exports").found == 1
    assert (path.exists(), other.exists()) == (False, True)
    assert bytes_with(lived.folders, WINIFRED, leaving=LEDGERS) == []
    assert later.newest(lived.key(f"user:{USERS[1]}"), form="json") is None
    assert not other.exists()


def test_whoever_erases_takes_exports_off_the_shelf_after_their_time(lived):
    shelf = ExportShelf(lived.settings.folder, clock=lambda: time.time() - KEPT_SECONDS - 5)
    old = shelf.put("user:a", form="json", write=lambda path: path.write_text("all of somebody"))
    stop = threading.Event()
    erasing = threading.Thread(target=erase_while_serving, args=[lived.settings], kwargs={"stop": stop})
    erasing.start()
    try:
        deadline = time.monotonic() + 30
        while old.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not old.exists()
    finally:
        stop.set()
        erasing.join()


def test_the_command_writes_a_file(lived, tmp_path, monkeypatch, key):
    for name in ("home", "mlruns", "workspace"):
        monkeypatch.setenv(f"TAILORBIRD_{name.upper()}", str(getattr(lived.settings, name)))
    out = tmp_path / "new" / "me.json"
    ran = CliRunner().invoke(export, [WINIFRED, "--out", str(out), "--json"])
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["rows"]["events"] == 30
    assert json.loads(out.read_text())["person"] == key
