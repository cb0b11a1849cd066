"""Backups where something went another way: nobody who was erased comes back, and nothing of others is lost."""

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tailorbird.backup import keys as beside
from tailorbird.backup.keys import KeyCopy, OthersErased
from tailorbird.backup.known import drop_backups, known_backups
from tailorbird.backup.making import make_backup
from tailorbird.backup.manifest import MANIFEST_FILE, Manifest, digests
from tailorbird.backup.restoring import look_into, restore
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.plumbing.alone import alone
from tailorbird.privacy.keys.keyring import open_keyring
from tailorbird.privacy.keys.master import master_file
from tailorbird.privacy.people.book import Book
from tailorbird.privacy.people.suppression import Suppressions
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events
from tests.serving.privacy.life import USERS, live
from tests.serving.privacy.test_backup import ERASED, KEPT, back, elsewhere, erase, records
from tests.serving.world import World

NOTHING_GONE = {"events": 0, "exposures": 0, "users": 0}


@pytest.fixture
def lived(make_world: Callable[[], World]) -> World:
    world = make_world()
    live(world)
    return world


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def come_back(world: World, name: str) -> None:
    """With a new consent, and a new page."""
    key = world.key(f"user:{name}")
    Suppressions.of(world.settings).lift(key)
    world.door.book.ciphers({key: name})


def test_another_keyring_never_takes_the_place_of_the_one_there(
    lived: World, backups: Path, tmp_path: Path
) -> None:
    made = make_backup(lived.settings, backups, clock=lambda: lived.clock)
    begun_anew = Settings.model_validate({**lived.settings.model_dump(), "home": tmp_path / "anew"})
    shutil.copytree(lived.settings.catalog_folder, begun_anew.catalog_folder)
    with pytest.raises(UsageError, match="whose keys are others"):
        make_backup(begun_anew, backups, clock=lambda: lived.clock + 60)
    key = tmp_path / "master.key"
    shutil.copy(master_file(lived.settings), key)
    assert restore(elsewhere(lived, tmp_path), made.folder, master_key=key).gone == NOTHING_GONE


def test_people_who_go_on_after_the_book_was_lost_keep_their_backups(lived: World, backups: Path) -> None:
    made = make_backup(lived.settings, backups, clock=lambda: lived.clock)
    lived.door.book.close()
    for path in (lived.settings.folder / "secrets").glob("people.db*"):
        path.unlink()
    with closing(Book.of(lived.settings, open_keyring(lived.settings))) as book:
        book.ciphers({lived.key(f"user:{name}"): name for name in USERS})
    make_backup(lived.settings, backups, clock=lambda: lived.clock + 60)
    assert look_into(made.folder, open_keyring(lived.settings)).gone == NOTHING_GONE


def test_a_folder_that_was_dropped_and_is_used_again_forgets_who_was_erased_and_came_back(
    lived: World, backups: Path, tmp_path: Path
) -> None:
    made = make_backup(lived.settings, backups, clock=lambda: lived.clock)
    assert drop_backups(lived.settings.folder, backups)
    erase(lived, ERASED)
    come_back(lived, ERASED)
    make_backup(lived.settings, backups, clock=lambda: lived.clock + 60)
    people = records(back(lived, made, tmp_path), open_events)["user_key"].to_pylist()
    assert lived.key(f"user:{ERASED}") not in people
    assert lived.key(f"user:{KEPT}") in people


@pytest.mark.parametrize("comes_back", [False, True], ids=["erased", "and back with a new consent"])
def test_whoever_is_erased_while_a_backup_is_made_is_not_in_it(
    lived: World, backups: Path, tmp_path: Path, comes_back: bool
) -> None:
    told: list[int] = []

    def advance(count: int) -> None:
        told.append(count)
        if len(told) == 1:  # the records are read and not yet sealed
            assert json.loads(erase(lived, ERASED))["state"] == "done"
            if comes_back:
                come_back(lived, ERASED)

    made = make_backup(lived.settings, backups, clock=lambda: lived.clock, advance=advance)
    assert made.without_key > 0
    assert (
        lived.key(f"user:{ERASED}")
        not in records(back(lived, made, tmp_path), open_events)["user_key"].to_pylist()
    )


def test_whoever_was_erased_since_the_backup_is_refused_by_the_restored_workspace(
    lived: World, backups: Path, tmp_path: Path
) -> None:
    made = make_backup(lived.settings, backups, clock=lambda: lived.clock)
    erase(lived, ERASED)
    erase(lived, KEPT)
    come_back(lived, KEPT)
    make_backup(lived.settings, backups, clock=lambda: lived.clock + 60)
    both = {lived.key(f"user:{name}") for name in (ERASED, KEPT)}
    refused = Suppressions.of(back(lived, made, tmp_path)).refused(both)
    assert refused == {lived.key(f"user:{ERASED}")}


def test_a_link_that_leads_elsewhere_now_hides_no_keys(lived: World, tmp_path: Path) -> None:
    months, link = [tmp_path / "october", tmp_path / "november"], tmp_path / "current"
    for turn, month in enumerate(months):
        month.mkdir()
        link.unlink(missing_ok=True)
        link.symlink_to(month)
        make_backup(lived.settings, link, clock=lambda turn=turn: lived.clock + 60 * turn)  # type: ignore[misc]
    erase(lived, ERASED)
    for month in months:
        with closing(KeyCopy(month)) as keys:
            assert keys.known([lived.key(f"user:{ERASED}")]) == set()
    assert drop_backups(lived.settings.folder, link)
    assert known_backups(lived.settings.folder) == [months[0]]


def test_others_files_in_the_folder_stay(lived: World, backups: Path) -> None:
    (backups / "film.part").mkdir(parents=True)
    (backups / "song.part").write_text("mine")
    left = backups / "20260101T000000Z.part"
    left.mkdir()
    make_backup(lived.settings, backups)
    assert (backups / "film.part").is_dir()
    assert (backups / "song.part").exists()
    assert not left.exists()


def test_files_that_no_backup_holds_are_not_restored(lived: World, backups: Path, tmp_path: Path) -> None:
    made = make_backup(lived.settings, backups)
    files, outside = made.folder / "files", tmp_path / "outside.txt"
    outside.write_text("not ours")
    for name in ("secrets/planted", "events.db"):
        (files / name).parent.mkdir(exist_ok=True)
        (files / name).write_text("planted")
    (files / "linked.toml").symlink_to(outside)
    planted = replace(Manifest.read(made.folder), files=digests(made.folder))
    planted.signed(open_keyring(lived.settings).receipts).write(made.folder)
    settings = back(lived, made, tmp_path)
    assert not (settings.folder / "secrets" / "planted").exists()
    assert not (settings.folder / "linked.toml").exists()
    assert records(settings, open_events).equals(records(lived.settings, open_events))


def test_of_two_who_restore_one_workspace_one_does(lived: World, backups: Path, tmp_path: Path) -> None:
    made, settings = make_backup(lived.settings, backups), elsewhere(lived, tmp_path)
    with alone(settings.home / ".toy.lock"):
        (settings.home / ".toy.part").mkdir()
        with pytest.raises(TailorbirdError, match="being restored by another"):
            back(lived, made, tmp_path)
        assert (settings.home / ".toy.part").exists()
    back(lived, made, tmp_path)
    assert [path.name for path in settings.home.iterdir()] == ["toy"]


def test_a_newer_program_s_backup_is_called_that(lived: World, backups: Path) -> None:
    made = make_backup(lived.settings, backups)
    path = made.folder / MANIFEST_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2, "more": 1}))
    with pytest.raises(TailorbirdError, match="has format 2, this program knows 1"):
        Manifest.read(made.folder)
    path.write_text("[]")
    with pytest.raises(UsageError, match="is no backup"):
        Manifest.read(made.folder)


def test_a_page_that_gets_the_callers_id_later_comes_back_with_it(lived: World, backups: Path) -> None:
    keyring, person = open_keyring(lived.settings), lived.key("user:late")
    with closing(Book.of(lived.settings, keyring)) as book:
        book.keys([person])
        make_backup(lived.settings, backups, clock=lambda: lived.clock)
        book.ciphers({person: "late"})
        make_backup(lived.settings, backups, clock=lambda: lived.clock + 60)
    with closing(KeyCopy(backups)) as keys:
        assert [bool(page.sealed) for page in keys.pages() if page.person == person] == [True]


def test_without_the_keys_of_people_nothing_is_restored_nor_put_in_their_place(
    lived: World, backups: Path, tmp_path: Path
) -> None:
    made = make_backup(lived.settings, backups)
    for path in (backups / "keys").glob("people.db*"):
        path.rename(tmp_path / path.name)
    with pytest.raises(TailorbirdError, match="there are no keys in"):
        back(lived, made, tmp_path)
    assert not elsewhere(lived, tmp_path).folder.exists()
    assert [path.name for path in (backups / "keys").iterdir()] == ["keyring.json"]


def test_whom_another_machine_erased_loses_the_keys_beside_the_backups_of_this_one(
    lived: World, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list is this machine's own here: another machine that puts somebody on it looks the same from where it is followed."""
    make_backup(lived.settings, backups, clock=lambda: lived.clock)
    gone, kept = lived.key(f"user:{ERASED}"), lived.key(f"user:{KEPT}")
    monkeypatch.setattr(beside, "AT_ONCE", 1)
    with closing(Suppressions.of(lived.settings)) as listed:
        others = OthersErased(lived.settings.folder)
        assert others.follow(listed.everybody()) == 0
        listed.suppress({"anon:nobody", gone, kept}, now=lived.clock)
        steps = [others.follow(listed.everybody(), but={kept}) for _ in range(4)]
        assert sum(steps) == 1
        with closing(KeyCopy(backups)) as keys:
            assert keys.known([gone, kept]) == {kept}
            # Whoever comes back, has a key again, and is erased once more loses that one, too.
            listed.lift(gone)
            others.follow(listed.everybody(), but={kept})
            keys.made(lived.door.keyring, [gone], refused=lambda people: frozenset(), since=keys.turn())
            assert keys.known([gone]) == {gone}
            listed.suppress({gone}, now=lived.clock)
            assert sum(others.follow(listed.everybody()) for _ in range(3)) == 2
            assert keys.known([gone, kept]) == set()


def test_two_who_restore_one_after_the_other_do_not_both(lived: World, backups: Path, tmp_path: Path) -> None:
    made = make_backup(lived.settings, backups, clock=lambda: lived.clock)
    there = elsewhere(lived, tmp_path)
    key = master_file(lived.settings)
    late: list[str] = []

    def meanwhile(stage: str) -> None:
        if not late:
            late.append(stage)
            with pytest.raises(TailorbirdError, match="being restored by another process"):
                restore(there, made.folder, master_key=key)

    restore(there, made.folder, master_key=key, stage=meanwhile)
    assert late
    with pytest.raises(UsageError, match="is there"):
        restore(there, made.folder, master_key=key)
