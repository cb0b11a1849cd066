"""Machines that share their people: who is erased on one is erased on all, and each knows the caller's own id."""

import multiprocessing
import threading
from base64 import b64decode
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tailorbird.doctor.sections import examine
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.plumbing.postgres import connect
from tailorbird.privacy.door.door import Door
from tailorbird.privacy.door.minimise import SEALED
from tailorbird.privacy.keys.keyring import open_keyring
from tailorbird.privacy.people.book import Book, BookPlace
from tailorbird.privacy.people.pages import book_file
from tailorbird.privacy.people.shared_people import MARK_FILE
from tailorbird.privacy.people.suppression import Suppressions
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_events
from tailorbird.streams.stream import StreamAwayError
from tests.postgres import database_away
from tests.privacy.erasing_child import open_small
from tests.privacy.test_door import SENT

pytestmark = pytest.mark.server
Machines = tuple[Settings, Settings]
ANN = "annabella@shop.test"


def erase(settings: Settings, identifier: str) -> None:
    """As the admin application of a machine does."""
    with closing(Door.of(settings)) as door:
        erasing = open_small(settings)
        erasing.places = (*erasing.places, BookPlace(lambda: door.book))
        asked = erasing.ask(door.person(identifier))
        assert erasing.run() == 1
        receipt = erasing.ledger.find(asked.id)
        assert receipt is not None
        assert receipt.place("book of people").found == 1  # type: ignore[union-attr]


def test_who_is_erased_on_one_machine_is_refused_at_the_door_of_the_other(machines: Machines) -> None:
    one, two = machines
    with closing(Door.of(two)) as door, open_events(two) as log:
        (before,) = door.events([SENT])
        assert not log.append([before]).refused
        child = multiprocessing.get_context("spawn").Process(target=erase, args=(one, ANN))
        child.start()
        child.join()
        assert child.exitcode == 0
        late = replace(SENT, message_id="late")
        (after,) = door.events([late])
        assert log.append([after]).refused == [after]
        assert door.personal(before) == door.personal(after) == {}
        assert door.book.known([before.user_key]) == set()
        assert Suppressions.of(two).lift(before.user_key) == 1
        (again,) = door.events([late])
        assert not log.append([again]).refused
        assert door.personal(again)["properties"] == {"query": "gift for bobington", "color": "red"}


def test_each_machine_knows_the_callers_own_id_and_opens_what_another_sealed(machines: Machines) -> None:
    one, two = machines
    with closing(Door.of(one)) as first, closing(Door.of(two)) as second:
        (stored,) = first.events([SENT])
        assert second.callers_ids([stored.user_key]) == {stored.user_key: ANN}
        assert second.personal(stored) == first.personal(stored)
        assert second.personal(stored)["properties"] == {"query": "gift for bobington", "color": "red"}


def test_a_key_that_another_machine_destroyed_is_not_used_from_memory(machines: Machines) -> None:
    one, two = machines
    with closing(Door.of(one)) as first, closing(Door.of(two)) as second:
        (before,) = first.events([SENT])
        assert second.book.destroy([before.user_key]) == 1
        (after,) = first.events([SENT])
        assert second.personal(after)["properties"] == {"query": "gift for bobington", "color": "red"}
        assert second.personal(before) == {}


def test_of_machines_that_meet_a_person_at_once_the_first_gives_the_page(machines: Machines) -> None:
    people = {f"user:{n}": f"person-{n}" for n in range(200)}
    books = [Book.of(settings, open_keyring(settings)) for settings in machines for _ in range(2)]
    gate = threading.Barrier(len(books))
    found: list[dict[str, bytes]] = []

    def meet(book: Book) -> None:
        gate.wait()
        ciphers = book.ciphers(people)
        found.append({person: ciphers[person].encrypt(b"n" * 12, b"text", None) for person in people})

    threads = [threading.Thread(target=meet, args=(book,)) for book in books]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(books)
    assert all(each == found[0] for each in found)
    assert books[0].callers_ids(people) == people


def test_a_machine_with_another_master_key_is_refused(machines: Machines) -> None:
    one, two = machines
    with closing(Door.of(one)) as door:
        (stored,) = door.events([SENT])
        other = two.model_copy(update={"master_key": "b" * 43 + "="})
        with pytest.raises(TailorbirdError, match=r"named by the keyring .*everybody would be somebody else"):
            Door.of(other)
        assert door.callers_ids([stored.user_key]) == {stored.user_key: ANN}


def test_workspaces_share_a_database_and_nobody_of_each_other(machines: Machines) -> None:
    one, two = machines
    two = two.model_copy(update={"workspace": "another"})
    books = [Book.of(settings, open_keyring(settings)) for settings in (one, two)]
    for book in books:
        book.ciphers({"user:x": ANN})
    Suppressions.of(one).suppress(["user:x"], now=1.0)
    assert Suppressions.of(two).refused(["user:x"]) == frozenset()
    assert books[0].destroy(["user:x"]) == 1
    assert [book.known(["user:x"]) for book in books] == [set(), {"user:x"}]


def test_while_the_database_is_away_nobody_gets_another_name_or_key(machines: Machines) -> None:
    one, _ = machines
    with closing(Door.of(one)) as door, open_events(one) as log:
        (before,) = door.events([SENT])
        with database_away(one.people):
            for event in (SENT, replace(SENT, user_id="somebody new")):
                with pytest.raises(StreamAwayError, match=r"people in postgresql://.*"):
                    door.events([event])
            with pytest.raises(StreamAwayError):
                log.append([before])
            with closing(Door.of(one)) as begun_meanwhile, pytest.raises(StreamAwayError):
                begun_meanwhile.events([SENT])
        (after,) = door.events([SENT])
        assert not log.append([after]).refused
        assert door.personal(before) == door.personal(after)


def test_the_people_that_machines_had_before_become_everybodys(machines: Machines) -> None:
    one, two = machines
    alone = [settings.model_copy(update={"people": ""}) for settings in machines]
    sealed = []
    for settings in alone:
        with closing(Door.of(settings)) as door:
            sealed += door.events([SENT])
            door.events([replace(SENT, user_id=f"of {settings.home.name}")])
    Suppressions.of(alone[1]).suppress(["user:erased"], now=3.0)
    first, second = Door.of(one), Door.of(two)
    assert Suppressions.of(one).since(["user:erased"]) == {}
    assert Suppressions.of(two).refused(["user:erased"]) == {"user:erased"}
    assert Suppressions.of(one).since(["user:erased"]) == {"user:erased": 3.0}
    everybody = [first.person(each) for each in (ANN, "of one", "of two")]
    assert set(first.callers_ids(everybody).values()) == {ANN, "of one", "of two"}
    for door in (first, second):
        opened = [door.personal(each) for each in sealed]  # each under a key of its own machine
        assert opened[0] == opened[1]
        assert opened[0]["properties"] == {"query": "gift for bobington", "color": "red"}
    assert list(book_file(one).parent.glob("people.db*")) == []
    assert first.book.destroy([sealed[0].user_key]) == 1
    assert [second.personal(each) for each in sealed] == [{}, {}]


def test_of_whom_was_erased_since_no_older_page_is_carried(machines: Machines) -> None:
    one, two = machines
    with closing(Door.of(two.model_copy(update={"people": ""}))) as before:
        (stored,) = before.events([SENT])
    Suppressions.of(one).suppress([stored.user_key], now=1.0)
    with closing(Door.of(two)) as door:
        assert door.callers_ids([stored.user_key]) == {}
        assert door.personal(stored) == {}


def test_without_the_setting_a_machine_that_shares_its_people_does_not_begin_its_own(
    machines: Machines,
) -> None:
    one, _ = machines
    with closing(Door.of(one)) as door:
        door.events([SENT])
    alone = one.model_copy(update={"people": ""})
    with pytest.raises(UsageError, match="TAILORBIRD_PEOPLE is not set"):
        Door.of(alone)
    with pytest.raises(UsageError, match="TAILORBIRD_PEOPLE is not set"):
        open_events(alone)
    assert (one.folder / MARK_FILE).exists()


def test_what_lies_in_the_database_names_nobody(machines: Machines) -> None:
    one, _ = machines
    with closing(Door.of(one)) as door:
        (stored,) = door.events([SENT])
    with closing(connect(one.people)) as connection:
        rows = connection.execute("SELECT person, wrapped, sealed FROM tailorbird_people").fetchall()
    said = b" ".join(
        bytes(part) if isinstance(part, bytes) else str(part).encode() for row in rows for part in row
    )
    assert {row[0] for row in rows} == {stored.user_key, f"anon:{stored.anonymous_id}"}
    assert b"annabella" not in said
    assert b64decode(str(stored.properties[SEALED])) not in said


def test_a_setting_that_names_no_database_is_refused() -> None:
    with pytest.raises(UsageError, match="must be empty or begin with postgresql://"):
        load_settings(people="redis://here")
    with pytest.raises(UsageError, match="sslmode"):
        load_settings(people="postgresql://elsewhere.test/people?sslmode=prefer")


def test_the_doctor_says_where_people_are_kept(machines: Machines, tmp_path: Path) -> None:
    one, _ = machines
    with closing(Door.of(one)) as door:
        door.events([SENT])
    Suppressions.of(one).suppress(["user:x"], now=1.0)
    found = examine(one, seconds=30, sections=["people"])
    assert [each.state for each in found] == ["ok", "ok"]
    assert "shared by machines: 2 people, 1 erased" in found[1].says
    with database_away(one.people):
        assert [each.state for each in examine(one, seconds=30, sections=["people"])] == ["broken"]
    alone = one.model_copy(update={"people": ""})
    (broken,) = examine(alone, seconds=30, sections=["people"])
    assert (broken.state, broken.remedy.startswith("set it")) == ("broken", True)


def test_the_doctor_warns_where_records_in_kafka_lie_open(machines: Machines) -> None:
    one, two = (each.model_copy(update={"events": "kafka://127.0.0.1:1/"}) for each in machines)
    alone = two.model_copy(update={"people": ""})
    for settings in (one, alone):
        open_keyring(settings)
    found = {each.says: each for each in examine(alone, seconds=30, sections=["people"])}
    (open_there,) = [each for says, each in found.items() if "Kafka lie open within their retention" in says]
    assert (open_there.state, open_there.remedy.startswith("set TAILORBIRD_PEOPLE")) == ("warning", True)
    assert not any("lie open" in each.says for each in examine(one, seconds=30, sections=["people"]))
