"""A backup brings everything back, where it stood; of whoever was erased since nothing."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from fnmatch import fnmatch
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from feature_repo.command import build_features
from feature_repo.store import FeatureStoreRoom
from serving.privacy.erasures import open_erasing
from tailorbird.audit.record import log_of
from tailorbird.backup import sealed
from tailorbird.backup.command import backup
from tailorbird.backup.files import LEFT_OUT, is_copied
from tailorbird.backup.keys import KeyCopy
from tailorbird.backup.making import Made, make_backup
from tailorbird.backup.manifest import backups_in
from tailorbird.backup.restoring import look_into, restore
from tailorbird.catalog.catalog import Users
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.events.schema import Event
from tailorbird.privacy.keys.keyring import open_keyring
from tailorbird.privacy.keys.master import encoded, master_file
from tailorbird.privacy.keys.sealing import new_key
from tailorbird.privacy.people.book import Book
from tailorbird.privacy.people.suppression import Suppressions
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events, open_exposures
from tests.serving.privacy.life import USERS, bytes_with, live
from tests.serving.world import World

ERASED, KEPT = USERS[0], USERS[1]


@pytest.fixture
def lived(make_world) -> World:
    world = make_world()
    live(world)
    return world


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def elsewhere(world: World, tmp_path: Path, *, name: str = "toy") -> Settings:
    changed = {"home": tmp_path / "elsewhere", "workspace": name}
    return Settings.model_validate({**world.settings.model_dump(), **changed})


def back(world: World, made: Made, tmp_path: Path, **more: object) -> Settings:
    settings = elsewhere(world, tmp_path, **more)  # type: ignore[arg-type]
    restore(settings, made.folder, master_key=master_file(world.settings))
    return settings


def records(settings: Settings, which) -> pa.Table:  # type: ignore[no-untyped-def]
    with which(settings) as stream:
        batches = list(stream.scan())
    return pa.Table.from_batches(batches).sort_by("offset")


def erase(world: World, name: str) -> str:
    erasing = open_erasing(world.settings)
    receipt = erasing.ask(world.key(f"user:{name}"))
    erasing.run()
    found = erasing.ledger.find(receipt.id)
    assert found is not None
    return json.dumps(found.plain())


@pytest.mark.parametrize("rows", [50_000, 7], ids=["one file", "many files"])
def test_everything_comes_back_where_it_stood(
    lived: World, backups: Path, tmp_path: Path, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealed, "ROWS", rows)
    lived.settings.folder.joinpath("arms.toml").touch()
    made = make_backup(lived.settings, backups)
    assert made.without_key == 0
    assert made.manifest.counts["users"] == len(Users.read(lived.settings.catalog_folder).users)
    settings = back(lived, made, tmp_path)
    for which in (open_events, open_exposures):
        assert records(settings, which).equals(records(lived.settings, which))
    there, here = (
        Users.read(each.catalog_folder).users.sort_values("user_id").reset_index(drop=True)
        for each in (settings, lived.settings)
    )
    assert there.equals(here)
    keyring = open_keyring(settings)
    assert keyring.fingerprint == lived.door.keyring.fingerprint
    with closing(Book.of(settings, keyring)) as book:
        assert book.callers_ids([lived.key(f"user:{KEPT}")]) == {lived.key(f"user:{KEPT}"): KEPT}
    copied = [path.relative_to(lived.settings.folder) for path in lived.settings.folder.rglob("*.toml")]
    assert copied
    assert all(
        (settings.folder / each).read_bytes() == (lived.settings.folder / each).read_bytes()
        for each in copied
    )


def test_the_restored_workspace_goes_on(lived: World, backups: Path, tmp_path: Path) -> None:
    settings = back(lived, make_backup(lived.settings, backups), tmp_path)
    with open_events(lived.settings) as before, open_events(settings) as log:
        assert log.end() == before.end()
        known = next(iter(before.scan(columns=["message_id"])))["message_id"][0].as_py()
        again = Event(known, "view", 1.0, 1.0, user_id="x")
        appended = log.append(
            [again, Event("new", "view", lived.clock, lived.clock, user_id="x", item_id="i0")]
        )
        assert (len(appended.entries), appended.duplicates) == (1, 1)
        assert appended.entries[0].offset == before.end()[0] + 1
    build_features(settings)
    build_features(lived.settings, force=True)
    key = lived.key(f"user:{KEPT}")
    restored, original = (
        FeatureStoreRoom(each).online_parts([key])[0].total for each in (settings, lived.settings)
    )
    assert restored == original > 0


def test_what_people_did_stands_open_nowhere(lived: World, backups: Path) -> None:
    made = make_backup(lived.settings, backups)
    said = [backups / made.folder / name for name in ("events", "exposures", "users")]
    for text in (*USERS, "add_to_cart", "cookie-adder-one", "recommendation_id", "user_key", "champion"):
        assert bytes_with(said, text) == []
    for name in USERS:
        assert bytes_with([backups], name) == []
    assert made.folder.stat().st_mode & 0o077 == 0


def test_an_erasure_reaches_every_backup_and_nobody_else(lived: World, backups: Path, tmp_path: Path) -> None:
    first = make_backup(lived.settings, backups, clock=lambda: lived.clock)
    key = lived.key(f"user:{ERASED}")
    with closing(KeyCopy(backups)) as keys:
        wrapped = [page.wrapped for page in keys.pages() if page.person == key]
    assert len(wrapped) == 1
    before = records(lived.settings, open_events)
    receipt = json.loads(erase(lived, ERASED))
    assert receipt["state"] == "done"
    (place,) = [each for each in receipt["places"] if each["name"] == "backups"]
    assert place["found"] >= 1
    assert wrapped[0] not in (backups / "keys" / "people.db").read_bytes()
    settings = back(lived, first, tmp_path)
    after = records(settings, open_events)
    people = set(receipt["people"])
    kept = [person not in people for person in before["user_key"].to_pylist()]
    assert after.equals(before.filter(pa.array(kept)))
    assert 0 < len(after) < len(before)
    assert key not in Users.read(settings.catalog_folder).users["user_id"].tolist()
    looked = look_into(first.folder, open_keyring(lived.settings))
    assert looked.gone["events"] == len(before) - len(after)
    assert looked.wrong == []


def test_whoever_comes_back_after_an_erasure_gets_nothing_of_before(
    lived: World, backups: Path, tmp_path: Path
) -> None:
    made = make_backup(lived.settings, backups, clock=lambda: lived.clock)
    erase(lived, ERASED)
    key = lived.key(f"user:{ERASED}")
    Suppressions.of(lived.settings).lift(key)
    lived.door.book.ciphers({key: ERASED})
    make_backup(lived.settings, backups, clock=lambda: lived.clock + 60)
    with closing(KeyCopy(backups)) as keys:
        assert keys.known([key]) == {key}
    settings = back(lived, made, tmp_path)
    assert key not in records(settings, open_events)["user_key"].to_pylist()


def test_an_erasure_waits_for_backups_that_are_away(lived: World, backups: Path, tmp_path: Path) -> None:
    make_backup(lived.settings, backups)
    backups.rename(tmp_path / "unplugged")
    erasing = open_erasing(lived.settings)
    receipt = erasing.ask(lived.key(f"user:{ERASED}"))
    with pytest.raises(TailorbirdError, match=r"backups: the backups in .* are not there"):
        erasing.run()
    found = erasing.ledger.find(receipt.id)
    assert found is not None
    assert (found.state, "backup drop" in found.problem) == ("running", True)
    (tmp_path / "unplugged").rename(backups)
    erasing.run()
    assert erasing.ledger.find(receipt.id).state == "done"  # type: ignore[union-attr]
    with closing(KeyCopy(backups)) as keys:
        assert keys.known([lived.key(f"user:{ERASED}")]) == set()


def test_a_book_that_is_lost_does_not_take_the_backups_along(lived: World, backups: Path) -> None:
    made = make_backup(lived.settings, backups, clock=lambda: lived.clock)
    lived.door.book.close()
    for path in (lived.settings.folder / "secrets").glob("people.db*"):
        path.unlink()
    make_backup(lived.settings, backups, clock=lambda: lived.clock + 60)
    looked = look_into(made.folder, open_keyring(lived.settings))
    assert looked.gone == {"events": 0, "exposures": 0, "users": 0}


def test_every_file_of_a_workspace_is_copied_sealed_or_left_out_on_purpose(lived: World) -> None:
    folder = lived.settings.folder
    unknown = [
        name
        for path in folder.rglob("*")
        if path.is_file()
        and not is_copied(name := path.relative_to(folder).as_posix())
        and not any(fnmatch(name, glob) for glob in LEFT_OUT)
    ]
    assert unknown == []


def test_a_file_that_was_changed_is_named_and_not_restored(
    lived: World, backups: Path, tmp_path: Path
) -> None:
    made = make_backup(lived.settings, backups)
    part = next((made.folder / "events").glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-40] + b"x" * 40)
    assert look_into(made.folder, open_keyring(lived.settings)).wrong == [f"events/{part.name}"]
    with pytest.raises(UsageError, match="not as it was written: events/"):
        back(lived, made, tmp_path)
    assert not elsewhere(lived, tmp_path).folder.exists()


def test_what_was_planted_with_its_digest_is_not_restored(
    lived: World, backups: Path, tmp_path: Path
) -> None:
    made = make_backup(lived.settings, backups)
    keys = made.folder / "files" / "keys.json"
    keys.write_text("{}")
    said = json.loads((made.folder / "manifest.json").read_text())
    said["files"]["files/keys.json"] = hashlib.sha256(b"{}").hexdigest()
    (made.folder / "manifest.json").write_text(json.dumps(said))
    assert look_into(made.folder, open_keyring(lived.settings)).wrong == ["manifest.json"]
    with pytest.raises(UsageError, match=r"manifest\.json is not signed"):
        back(lived, made, tmp_path)
    assert not elsewhere(lived, tmp_path).folder.exists()


def test_what_cannot_be_meant_is_refused(lived: World, backups: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="lies within the workspace"):
        make_backup(lived.settings, lived.settings.folder / "backups")
    with pytest.raises(UsageError, match="no workspace 'nothing'"):
        make_backup(elsewhere(lived, tmp_path, name="nothing"), backups)
    made = make_backup(lived.settings, backups)
    with pytest.raises(UsageError, match="workspace 'toy' is there"):
        restore(lived.settings, made.folder)
    other = back(lived, made, tmp_path, name="other")
    with pytest.raises(UsageError, match="holds backups of workspace 'toy'"):
        make_backup(other, backups)
    wrong = tmp_path / "wrong.key"
    wrong.write_text("A" * 43 + "=\n")
    wrong.chmod(0o600)
    with pytest.raises(UsageError, match="does not open"):
        restore(elsewhere(lived, tmp_path, name="third"), made.folder, master_key=wrong)
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == ["other"]


@pytest.fixture
def run(lived: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    monkeypatch.setenv("TAILORBIRD_HOME", str(lived.settings.home))
    monkeypatch.setenv("TAILORBIRD_MLRUNS", str(lived.settings.mlruns))
    monkeypatch.setenv("TAILORBIRD_WORKSPACE", "toy")

    def called(*words: object) -> Result:
        return CliRunner().invoke(backup, [str(each) for each in words])

    return called


def test_the_commands(lived: World, backups: Path, tmp_path: Path, run) -> None:  # type: ignore[no-untyped-def]
    made = json.loads(run("make", backups, "--json").stdout)
    assert made["events"] > 0
    listed = json.loads(run("list", "--json").stdout)["backups"]
    assert [each["backup"] for each in listed] == [made["backup"]]
    assert run("check", backups).exit_code == 0
    refused = run("restore", backups, "--workspace", "again")
    assert isinstance(refused.exception, UsageError)
    assert "--master-key" in refused.exception.remedy
    key = tmp_path / "master.key"
    key.write_bytes(master_file(lived.settings).read_bytes())
    key.chmod(0o600)
    done = run("restore", backups, "--workspace", "again", "--master-key", key, "--json")
    assert json.loads(done.stdout)["opened"]["events"] == made["events"]
    assert isinstance(run("list", tmp_path / "nowhere").exception, SystemExit)
    wrong = tmp_path / "wrong.key"
    wrong.write_text(encoded(new_key()) + "\n")
    wrong.chmod(0o600)
    refused = run("restore", backups, "--workspace", "other", "--master-key", wrong)
    assert isinstance(refused.exception, UsageError)
    assert f"does not open by {wrong}" in str(refused.exception)
    assert run("drop", backups).exit_code == 0
    assert [each.what for each in log_of(lived.settings).entries()][-1] == "backup.drop"
    assert isinstance(run("drop", backups).exception, UsageError)
    assert isinstance(run("check", tmp_path / "nowhere").exception, UsageError)


CHILD = """
import sys
from pathlib import Path
from tailorbird.backup.making import make_backup
from tailorbird.backup.restoring import restore
from tailorbird.settings import load_settings
home, what, folder, key = sys.argv[1:]
settings = load_settings(home=home, workspace="toy")
print("begins", flush=True)
if what == "make":
    make_backup(settings, Path(folder))
else:
    restore(settings, Path(folder), master_key=Path(key))
"""


@pytest.mark.slow
@pytest.mark.parametrize("what", ["make", "restore"])
def test_killed_at_any_instant_it_is_whole_or_not_there(
    lived: World, backups: Path, tmp_path: Path, what: str
) -> None:
    root, whole = Path(__file__).resolve().parents[3], records(lived.settings, open_events)
    key = tmp_path / "master.key"
    key.write_bytes(master_file(lived.settings).read_bytes())
    key.chmod(0o600)
    made = make_backup(lived.settings, backups)
    settings = lived.settings if what == "make" else elsewhere(lived, tmp_path)
    for turn in range(8):
        child = subprocess.Popen(
            [
                sys.executable,
                "-c",
                CHILD,
                str(settings.home),
                what,
                str(backups if what == "make" else made.folder),
                str(key),
            ],
            cwd=root,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"begins\n"
        time.sleep(0.02 * turn)
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        if what == "make":
            for each in backups_in(backups):
                looked = look_into(each, open_keyring(lived.settings))
                assert (looked.readable["events"], looked.wrong) == (len(whole), [])
        elif settings.folder.exists():
            assert records(settings, open_events).equals(whole)
            break
    if what == "make":
        make_backup(lived.settings, backups, clock=lambda: time.time() + 60)
        assert not list(backups.glob("*.part"))
    else:
        if not settings.folder.exists():
            restore(settings, made.folder, master_key=key)
        assert records(settings, open_events).equals(whole)
