"""The door: nothing behind it knows a raw id or a text that may be personal, and only the book leads back."""

import json
import sqlite3
from collections.abc import Collection, Iterator
from collections.abc import Set as AbstractSet
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.http.schemas import Visitor
from serving.recommend.request.named import Named
from tailorbird.catalog.keys import stable_key
from tailorbird.catalog.log.told import Patch
from tailorbird.errors import UsageError
from tailorbird.events.rows import table_of_frame, user_keys
from tailorbird.events.schema import SCHEMA, Event
from tailorbird.exposures.exposure import new_recommendation_id
from tailorbird.features.consent.standing import COVERED, NEVER, standing_of
from tailorbird.privacy.door.door import Door
from tailorbird.privacy.door.minimise import SEALED, Declared, parted_context, parted_properties
from tailorbird.privacy.keys.keyring import open_keyring
from tailorbird.privacy.keys.pseudonyms import Pseudonyms
from tailorbird.privacy.people.book import Book
from tailorbird.privacy.people.pages import PagesFile, book_file
from tailorbird.privacy.people.shared_pages import shared_pages
from tailorbird.privacy.people.suppression import Suppressions
from tailorbird.privacy.policy.policy import POLICY_FILE, read_policy
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.database import Database
from tailorbird.streams.factory import open_events
from tailorbird.streams.stream import StreamAwayError

SENT = Event(
    message_id="annabella@shop.test/1",
    type="search",
    event_time=1_750_000_000.0,
    received_time=1_750_000_000.0,
    user_id="annabella@shop.test",
    anonymous_id="a7-of-annabella",
    session_id="ann's evening",
    recommendation_id="ann-clicked-this",
    context={
        "device": "Mobile",
        "referrer": "https://mail.test/?to=annabella@shop.test",
        "consent": {"ads": True},
    },
    properties={"query": "gift for bobington", "results": 12, "again": False, "color": "red"},
)
RAW = ("annabella", "bobington", "shop.test")


@pytest.fixture
def settings(either: Settings) -> Settings:
    return either


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    """People in files of this machine alone."""
    return load_settings(home=tmp_path / "own", workspace="test")


@pytest.fixture
def door(settings: Settings) -> Iterator[Door]:
    with closing(Door.of(settings)) as opened:
        yield opened


def test_an_event_is_stored_without_a_raw_id_or_text(door: Door, settings: Settings) -> None:
    (stored,) = door.events([SENT])
    with open_events(settings) as stream:
        stream.append([stored])
        assert stream.append(door.events([SENT])).duplicates == 1
    assert stored.context == {"device": "Mobile", "consent": {"ads": True}}
    assert stored.properties == {"results": 12, "again": False, SEALED: stored.properties[SEALED]}
    door.close()
    for path in settings.folder.rglob("*"):
        content = path.read_bytes().lower() if path.is_file() else b""
        assert not any(word.encode() in content for word in RAW), path


def test_what_was_sealed_opens_for_its_person_until_the_page_is_destroyed(door: Door) -> None:
    (stored,) = door.events([SENT])
    assert door.personal(stored)["properties"] == {"query": "gift for bobington", "color": "red"}
    assert door.personal(stored)["context"] == {"referrer": SENT.context["referrer"]}
    people = [door.person("annabella@shop.test"), door.person("a7-of-annabella", anonymous=True)]
    assert door.callers_ids(people) == dict(
        zip(people, ("annabella@shop.test", "a7-of-annabella"), strict=True)
    )
    assert (door.book.destroy(people), door.book.known(people)) == (2, set())
    assert door.callers_ids(people) == {}
    assert door.personal(stored) == {}
    (again,) = door.events([SENT])  # with a page and a key of their own again
    assert again.user_key == stored.user_key
    assert door.personal(again)["properties"] == {"query": "gift for bobington", "color": "red"}
    assert door.personal(stored) == {}


def test_a_key_that_another_process_destroyed_is_not_used_from_memory(door: Door, settings: Settings) -> None:
    (before,) = door.events([SENT])
    with closing(Door.of(settings)) as other:
        other.book.destroy([before.user_key])
        (after,) = door.events([SENT])
        assert other.personal(after)["properties"] == {"query": "gift for bobington", "color": "red"}
    assert door.personal(before) == {}


def test_a_destroyed_page_is_gone_from_the_file(own: Settings) -> None:
    with closing(Door.of(own)) as door:
        (stored,) = door.events([SENT])
        door.book.destroy([stored.user_key])
    for path in book_file(own).parent.glob("people.db*"):
        assert stored.user_key.encode() not in path.read_bytes()


def frame_of(events: list[Event]) -> pd.DataFrame:
    """Events as a file brings them."""
    frame = pd.DataFrame(
        {name: [getattr(event, name) for event in events] for name in SCHEMA.names}, dtype=object
    )
    for name in ("event_time", "received_time"):
        frame[name] = pd.to_datetime(frame[name].astype(float), unit="s", utc=True)
    for name in ("context", "properties"):
        frame[name] = [json.dumps(each) if each else None for each in frame[name]]
    return frame


PERSONAL: dict[str, object] = {
    "card": 4_111_111_111_111_111,
    "phone": 491_701_234_567.0,
    "customer": 20_771_904,
    "for annabella@shop.test": True,
    "0170 1234567": 1,
    "to_01701234567": None,
}
NUMBERED = {"user_id": "20771904", "context": {**PERSONAL, "consent": {"ads": True, "a@shop.test": True}}}
TOLD = {**PERSONAL, "price": 19.5, "count": 3, "again": False}


def test_numbers_and_names_that_tell_who_somebody_is_are_sealed(door: Door) -> None:
    (stored,) = door.events([replace(SENT, **NUMBERED, properties=TOLD)])
    sealed = stored.properties[SEALED]
    assert stored.properties == {"price": 19.5, "count": 3, "again": False, SEALED: sealed}
    assert stored.context == {"consent": {"ads": True}}
    assert door.personal(stored) == {
        "context": {**PERSONAL, "consent": {"a@shop.test": True}},
        "properties": PERSONAL,
    }
    frame = door.frame(frame_of([replace(SENT, **NUMBERED, properties=TOLD)]))
    (row,) = frame.to_dict("records")
    assert json.loads(row["context"]) == stored.context
    assert json.loads(row["properties"]).keys() == stored.properties.keys()
    told = door.user(Patch.of_user("20771904", {"attributes": {**PERSONAL, "visits": 20}})).told
    assert told["attributes"] == {"visits": 20}
    rows = pd.DataFrame({"user_id": ["20771904"], "attributes": [json.dumps({**PERSONAL, "visits": 20})]})
    assert door.users(rows)["attributes"].tolist() == ['{"visits":20}']


def test_a_small_number_is_kept_also_where_the_id_is_the_same(door: Door) -> None:
    (stored,) = door.events([replace(SENT, user_id="5", context={}, properties={"stars": 5})])
    assert stored.properties == {"stars": 5}


def test_who_is_erased_while_their_page_is_being_written_has_none_afterwards(settings: Settings) -> None:
    suppressions = Suppressions.of(settings)
    keyring = open_keyring(settings)
    with closing(Book.of(settings, keyring)) as eraser:

        def looked_just_before(people: Collection[str]) -> AbstractSet[str]:
            found = suppressions.refused(people)
            if not found:
                suppressions.suppress(people, now=1.0)
                eraser.destroy(people)
            return found

        pages = shared_pages(settings, keyring) if settings.people else PagesFile(book_file(settings))
        with closing(Book(pages, keyring, refused=looked_just_before)) as book:
            assert book.ciphers({"user:x": "annabella@shop.test"}).keys() == {"user:x"}
            assert book.known(["user:x"]) == set()


def test_a_key_that_lies_in_an_older_state_of_the_file_is_not_destroyed(
    own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Database.purge, "__kwdefaults__", {"wait_seconds": 0.1})
    with (
        closing(Book.of(own, open_keyring(own))) as book,
        closing(sqlite3.connect(book_file(own), isolation_level=None)) as reader,
    ):
        book.ciphers({"user:person-under-test": "annabella@shop.test"})
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM people").fetchone()
        with pytest.raises(StreamAwayError):
            book.destroy(["user:person-under-test"])
        reader.execute("ROLLBACK")
        book.destroy(["user:person-under-test"])
        for path in book_file(own).parent.glob("people.db*"):
            assert b"person-under-test" not in path.read_bytes()


def test_a_frame_is_stored_as_its_events_are(door: Door) -> None:
    events = [SENT, Event("m2", "view", 1.8e9, 1.8e9, anonymous_id="a7-of-annabella", item_id="cup")]
    stored = door.frame(frame_of(events), declared=Declared(properties=frozenset({"color"})))
    one_by_one = door.events(events)
    for name in ("message_id", "user_id", "anonymous_id", "session_id", "recommendation_id", "item_id"):
        assert stored[name].tolist() == [getattr(event, name) for event in one_by_one], name
    assert user_keys(stored).tolist() == [event.user_key for event in one_by_one]
    assert json.loads(stored["context"][0]) == one_by_one[0].context
    said = json.loads(stored["properties"][0])
    assert (said["results"], said["color"], SEALED in said) == (12, "red", True)
    assert stored["context"][1] is None
    assert table_of_frame(stored).num_rows == 2


def test_our_own_recommendation_ids_pass_and_those_of_callers_are_named() -> None:
    names, ours = Pseudonyms(b"k" * 32), new_recommendation_id(1_750_000_000.0)
    assert names.recommendation(ours) == ours
    assert names.recommendation("ann's list") != "ann's list"


@given(st.text(min_size=1), st.text(min_size=1))
def test_names_tell_ids_apart_and_kinds_too(one: str, other: str) -> None:
    names = Pseudonyms(b"k" * 32)
    assert (names.user(one) == names.user(other)) is (one == other)
    made = {names.user(one), names.anonymous(one), names.session(one), names.message(one)}
    assert len(made) == 4
    assert all(len(each) == 22 for each in made)


@given(
    st.dictionaries(
        st.text(),
        st.none()
        | st.booleans()
        | st.integers()
        | st.text()
        | st.lists(st.text())
        | st.dictionaries(st.text(), st.text()),
    )
)
def test_no_text_is_kept_that_nobody_declared(said: dict[str, object]) -> None:
    for parted in (parted_context(said), parted_properties(said)):
        texts = [value for value in parted.kept.values() if isinstance(value, str | list)]
        assert all(text.lower() in ("mobile", "tablet", "desktop") for text in texts if isinstance(text, str))
        assert not any(isinstance(text, list) for text in texts)
        assert all(
            parted.kept.get(name, parted.personal.get(name)) is not None
            or value is None
            or isinstance(value, dict)
            for name, value in said.items()
        )


def test_texts_can_be_dropped_or_declared(settings: Settings) -> None:
    settings.folder.mkdir(parents=True)
    (settings.folder / POLICY_FILE).write_text('[texts]\npersonal = "drop"\nproperties = ["color"]\n')
    with closing(Door.of(settings)) as door:
        (stored,) = door.events([SENT])
    assert stored.properties == {"results": 12, "again": False, "color": "red"}
    (settings.folder / POLICY_FILE).write_text('[texts]\npersonall = "drop"\n')
    with pytest.raises(UsageError, match=r"texts\.personall"):
        read_policy(settings)


def test_events_that_another_keyring_named_are_not_mixed_with_new_ones(
    settings: Settings, tmp_path: Path
) -> None:
    with open_events(settings) as stream:
        stream.append([SENT])
    with pytest.raises(UsageError, match="names that this machine cannot give"):
        Door.of(settings)


@pytest.mark.parametrize(
    ("said", "standing"),
    [
        ({"consent": "no"}, NEVER),
        ({"consent": 0}, NEVER),
        ({"consent": []}, NEVER),
        ({"consent": {"personalization": "no"}}, NEVER),
        ({"consent": {"personalization": 0, "analytics": True}}, NEVER),
        ({"consent": {"analytics": "no"}}, COVERED),
        ({"purposes": {"personalization": "false"}, "consent": True}, NEVER),
        ({"purposes": False}, NEVER),
        ({"consent": None}, COVERED),
        ({"consent": {"personalization": None}}, COVERED),
        ({"consent": {"personalization": True}}, COVERED),
        ({"consent": True}, COVERED),
    ],
)
def test_what_is_said_of_purposes_and_cannot_be_read_is_a_no(
    door: Door, said: dict[str, object], standing: int
) -> None:
    (stored,) = door.events([Event("m", "view", 1.0, 1.0, user_id="ann", context=said)])
    covered = ["analytics", "personalization"]
    assert standing_of(stored.context, "personalization", basis=covered) == standing
    asked = Named(door.names)(Visitor(user_id="ann", context=said)).context or {}
    assert standing_of(asked, "personalization", basis=covered) == standing


def test_where_a_consent_was_said_is_kept_as_a_word_and_sealed_as_a_sentence(door: Door) -> None:
    told = {"version": "2026-11", "source": "call with ann@example.com", "proof": "her letter"}
    said = Event(
        "m", "consent", 1.0, 1.0, user_id="ann", context={"purposes": {"analytics": True}}, properties=told
    )
    (stored,) = door.events([said])
    assert {name: text for name, text in stored.properties.items() if name != SEALED} == {
        "version": "2026-11"
    }
    assert "example.com" not in str(stored)
    assert door.personal(stored)["properties"] == {"source": told["source"], "proof": told["proof"]}


def test_of_a_gender_or_a_country_only_a_word_is_kept(door: Door) -> None:
    told = {"gender": "Ann Miller, ann@shop.test", "country": "4111 1111 1111 1111", "age": 30.0}
    assert door.user(Patch.of_user("u", told)).told == {"gender": None, "country": None, "age": 30.0}
    words = {"gender": "non-binary", "country": "Côte d'Ivoire"}
    assert door.user(Patch.of_user("u", words)).told == words
    assert door.user(Patch.of_user("u", {"gender": None})).told == {"gender": None}
    rows = pd.DataFrame(
        {"user_id": ["a", "b", "c"], "gender": ["female", "call 0171 5", None], "country": ["NL", "", "x@y"]}
    )
    kept = door.users(rows)
    assert kept["gender"].tolist() == ["female", None, None]
    assert kept["country"].tolist() == ["NL", "", None]


def test_users_are_found_by_the_number_their_devices_know_until_their_page_is_destroyed(
    settings: Settings,
) -> None:
    keyring = open_keyring(settings)
    with closing(Book.of(settings, keyring)) as book:
        book.ciphers({"user:x": "annabella@shop.test", "anon:y": "a7"})
        found = [book.user_of_number(stable_key(key)) for key in ("user:x", "anon:y", "user:z")]
        assert found == ["user:x", None, None]
        book.destroy(["user:x"])
        assert book.user_of_number(stable_key("user:x")) is None


def test_a_book_of_an_older_program_is_given_its_numbers(own: Settings) -> None:
    keyring = open_keyring(own)
    with closing(Book.of(own, keyring)) as book:
        book.ciphers({"user:x": "annabella@shop.test"})
    with closing(sqlite3.connect(book_file(own))) as older, older:
        older.execute("DROP TABLE numbers")
    with closing(Book.of(own, keyring)) as book:
        assert book.user_of_number(stable_key("user:x")) == "user:x"
        book.destroy(["user:x"])
        assert book.user_of_number(stable_key("user:x")) is None
    for path in book_file(own).parent.glob("people.db*"):
        assert b"user:x" not in path.read_bytes()
