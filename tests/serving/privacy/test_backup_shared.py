"""Backups of machines that share their people: who is erased on one machine loses the keys beside the backups of the others."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from serving.privacy import erasures
from serving.privacy.erasures import (
    erase_while_serving,
    follow_others,
    follow_others_while_serving,
    open_erasing,
)
from tailorbird.backup import keys as beside
from tailorbird.backup.keys import KEYS_FOLDER, PEOPLE_FILE, KeyCopy, OthersErased
from tailorbird.backup.making import make_backup
from tailorbird.errors import TailorbirdError
from tailorbird.privacy.erasure.receipt import Receipt
from tailorbird.privacy.keys.keyring import open_keyring
from tailorbird.privacy.people.book import Book
from tailorbird.privacy.people.suppression import Suppressions
from tailorbird.settings import Settings
from tests.postgres import database_away
from tests.serving.privacy.life import USERS
from tests.serving.triggers.subscriber import wait_until
from tests.serving.world import World

pytestmark = pytest.mark.server
ERASED, KEPT, LATER = USERS


class Machine(NamedTuple):
    """One that shares its people, with backups of its own."""

    settings: Settings
    backups: Path

    def back_up(self, clock: float) -> None:
        make_backup(self.settings, self.backups, clock=lambda: clock)

    def erase(self, key: str) -> Receipt:
        erasing = open_erasing(self.settings)
        asked = erasing.ask(key)
        erasing.run()
        found = erasing.ledger.find(asked.id)
        assert found is not None
        return found

    def comes_back(self, key: str, name: str) -> None:
        """With a new consent, and a new page."""
        Suppressions.of(self.settings).lift(key)
        with closing(Book.of(self.settings, open_keyring(self.settings))) as book:
            book.ciphers({key: name})

    def holds(self, *people: str) -> set[str]:
        with closing(KeyCopy(self.backups)) as copy:
            return copy.known(people)

    def damage(self) -> None:
        for path in (self.backups / KEYS_FOLDER).glob(f"{PEOPLE_FILE}*"):
            path.unlink()
        (self.backups / KEYS_FOLDER / PEOPLE_FILE).write_bytes(b"no database " * 1_000)


class Two(NamedTuple):
    """Two machines that share a book, a backup of each, and the keys of people."""

    one: Machine
    other: Machine
    key: Callable[[str], str]
    clock: float


@pytest.fixture
def two(make_world: Callable[..., World], database: str, tmp_path: Path) -> Two:
    def shared(settings: Settings) -> Settings:
        return Settings.model_validate({**settings.model_dump(), "people": database})

    worlds = [make_world(shared) for _ in range(2)]
    for world in worlds:
        for turn, name in enumerate(USERS):
            world.post("/v1/events", {"batch": [_view(world, f"{turn}-{name}", name)]})
    machines = [Machine(world.settings, tmp_path / f"backups-{place}") for place, world in enumerate(worlds)]
    clock = worlds[0].clock
    for machine in machines:
        machine.back_up(clock)
    return Two(*machines, lambda name: worlds[0].key(f"user:{name}"), clock)


def _view(world: World, message: str, name: str) -> dict[str, str]:
    return {"messageId": message, "type": "view", "userId": name, "itemId": "i0"}


@contextmanager
def serving(machine: Machine) -> Iterator[None]:
    """What its admin application does meanwhile; of its own erasures it goes on after what it cannot do now."""
    stop = threading.Event()

    def erase() -> None:
        while not stop.is_set():
            with suppress(TailorbirdError):
                erase_while_serving(machine.settings, stop=stop)

    def follow() -> None:
        follow_others_while_serving(machine.settings, stop=stop)

    threads = [threading.Thread(target=work) for work in (erase, follow)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasures, "LOOK_SECONDS", 0.05)


@pytest.mark.usefixtures("quick")
def test_an_erasure_on_one_machine_reaches_the_keys_beside_the_backups_of_another(two: Two) -> None:
    gone, kept = two.key(ERASED), two.key(KEPT)
    assert two.one.holds(gone, kept) == two.other.holds(gone, kept) == {gone, kept}
    with serving(two.other):
        receipt = two.one.erase(gone)
        place = receipt.place("backups")
        assert place is not None
        assert (place.state, place.found) == ("done", 1)
        assert "other machines" in place.words
        assert two.one.holds(gone, kept) == {kept}
        wait_until(lambda: two.other.holds(gone) == set())
        two.one.comes_back(gone, ERASED)
        two.other.back_up(two.clock + 60)
        assert two.other.holds(gone, kept) == {gone, kept}
        two.one.erase(gone)
        wait_until(lambda: two.other.holds(gone) == set())
        assert two.other.holds(kept) == {kept}


def test_whoever_consents_anew_before_the_other_machine_looked_loses_the_old_key_with_its_next_backup(
    two: Two,
) -> None:
    gone = two.key(ERASED)
    two.one.erase(gone)
    two.one.comes_back(gone, ERASED)
    others, listed = OthersErased(two.other.settings.folder), Suppressions.of(two.other.settings)
    with closing(KeyCopy(two.other.backups)) as copy:
        old = {page for page in copy.pages() if page.person == gone}
        assert others.follow(listed.everybody()) == 0
        two.other.back_up(two.clock + 60)
        new = {page for page in copy.pages() if page.person == gone}
    assert len(old) == len(new) == 1
    assert old.isdisjoint(new)


def test_while_the_database_is_away_no_key_goes_and_then_those_that_should(two: Two) -> None:
    gone, kept = two.key(ERASED), two.key(KEPT)
    others, listed = OthersErased(two.other.settings.folder), Suppressions.of(two.other.settings)
    assert others.follow(listed.everybody()) == 0
    two.one.erase(gone)
    with database_away(two.one.settings.people), pytest.raises(TailorbirdError):
        others.follow(listed.everybody())
    assert two.other.holds(gone, kept) == {gone, kept}
    assert others.follow(listed.everybody()) == 1
    assert two.other.holds(gone, kept) == {kept}


def test_processes_of_a_machine_that_look_at_once_take_each_key_away_and_no_other(two: Two) -> None:
    gone = [two.key(name) for name in (ERASED, KEPT)]
    Suppressions.of(two.one.settings).suppress(gone, now=two.clock)
    gate = threading.Barrier(4)

    def look(settings: Settings) -> int:
        others, listed = OthersErased(settings.folder), Suppressions.of(settings)
        gate.wait()
        return others.follow(listed.everybody())

    with ThreadPoolExecutor(gate.parties) as pool:
        assert sum(pool.map(look, [two.other.settings] * gate.parties)) >= len(gone)
    assert two.other.holds(*gone, two.key(LATER)) == {two.key(LATER)}


@pytest.mark.usefixtures("quick")
def test_a_damaged_copy_of_keys_holds_up_no_erasure_of_its_machine_in_other_places(two: Two) -> None:
    two.one.erase(two.key(ERASED))
    two.other.damage()
    erasing = open_erasing(two.other.settings)
    asked = erasing.ask(two.key(KEPT))

    def events() -> str | None:
        found = erasing.ledger.find(asked.id)
        place = found.place("events") if found is not None else None
        return place.state if place is not None else None

    with serving(two.other):
        wait_until(lambda: events() == "done")


@pytest.mark.usefixtures("quick")
def test_a_damaged_copy_of_keys_hides_none_in_another_folder(two: Two, tmp_path: Path) -> None:
    second = Machine(two.other.settings, tmp_path / "second")
    second.back_up(two.clock + 60)
    two.other.damage()
    with serving(two.other):
        two.one.erase(two.key(ERASED))
        wait_until(lambda: second.holds(two.key(ERASED)) == set())


@pytest.mark.usefixtures("quick")
def test_an_erasure_that_waits_keeps_nobody_from_being_looked_at(
    two: Two, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of this machine's own is tried again for ever, as a folder of backups is away; the list has more people than one look."""
    monkeypatch.setattr(beside, "AT_ONCE", 1)
    away = Machine(two.other.settings, tmp_path / "away")
    away.back_up(two.clock + 60)
    away.backups.rename(tmp_path / "unmounted")
    gone = [two.key(name) for name in (ERASED, KEPT)]
    open_erasing(two.other.settings).ask(two.key(LATER))
    Suppressions.of(two.one.settings).suppress(gone, now=two.clock)
    with serving(two.other):
        wait_until(lambda: two.other.holds(*gone) == set())


def test_whoever_asks_to_be_erased_while_the_others_are_looked_at_has_their_key_counted(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    erasing = open_erasing(two.other.settings)
    others = OthersErased(two.other.settings.folder)
    unfinished, asked = erasing.ledger.unfinished, []

    def then_asked(*, limit: int) -> list[Receipt]:
        found = unfinished(limit=limit)
        if not asked:
            asked.append(erasing.ask(two.key(ERASED)).id)
        return found

    monkeypatch.setattr(erasing.ledger, "unfinished", then_asked)
    follow_others(others, erasing)
    erasing.run()
    found = erasing.ledger.find(asked[0])
    assert found is not None
    place = found.place("backups")
    assert place is not None
    assert place.found == 1
