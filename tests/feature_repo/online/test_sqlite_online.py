"""Trouble of the SQLite store has a name and a remedy."""

import sqlite3

import pytest

from feature_repo.away import FeatureStoreAwayError, remedy_of
from feature_repo.online.sqlite import SqliteDatabase
from feature_repo.store import FeatureStoreRoom
from feature_repo.updater.updater import ProfileUpdater
from tailorbird.catalog.catalog import Catalog
from tailorbird.events.schema import Event
from tailorbird.features.profile.folding import fold
from tailorbird.features.profile.state import UserState
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events
from tests.feature_repo.laws.toy import assert_live, entries
from tests.features.toy import FACTS, NOON, event

Shop = tuple[Catalog, list[Event]]
OLD = fold(UserState.empty("ann"), [event("1", "view", "kettle", NOON)], FACTS)
NEW = fold(OLD, [event("2", "view", "saw", NOON + 9)], FACTS)
LATE = fold(NEW, [event("3", "view", "drill", NOON + 5)], FACTS)


def test_trouble_inside_a_transaction_is_named_and_rolled_back(room: FeatureStoreRoom) -> None:
    def fail() -> None:
        with room.online.tables(room.config) as tables:
            room.online_write([OLD])
            tables.drop_views(["user_profile"])
            room.online_write([NEW])

    with pytest.raises(FeatureStoreAwayError, match="no such table"):
        fail()
    room.online_write([NEW])
    assert room.online_read(["ann"])[0].total == 2


def test_a_store_that_was_never_made_says_so(settings: Settings) -> None:
    with pytest.raises(FeatureStoreAwayError, match=r"online\.db") as caught:
        FeatureStoreRoom(settings).online_read(["ann"])
    assert "tailorbird features" in caught.value.remedy
    assert not (settings.feature_folder / "online.db").exists()


def test_a_damaged_store_says_so_and_works_again_once_rebuilt(
    settings: Settings, room: FeatureStoreRoom
) -> None:
    room.online.disconnect()
    file = settings.feature_folder / "online.db"
    for part in settings.feature_folder.glob("online.db*"):
        part.unlink()
    file.write_bytes(b"no database at all" * 400)
    with pytest.raises(FeatureStoreAwayError, match="not a database") as caught:
        room.online_read(["ann"])
    assert "remove the file" in caught.value.remedy
    file.unlink()
    room.apply()
    assert room.online_read(["ann"])[0].total == 0


def test_a_locked_store_still_reads_and_names_the_lock_when_writing(
    settings: Settings, room: FeatureStoreRoom
) -> None:
    room.online_write([OLD])
    room.online.disconnect()
    database = room.online.database(room.config)
    assert isinstance(database, SqliteDatabase)
    database.wait_seconds = 0.05
    with sqlite3.connect(settings.feature_folder / "online.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        assert room.online_read(["ann"])[0].total == 1
        with pytest.raises(FeatureStoreAwayError, match="locked") as caught:
            room.online_write([NEW])
        assert "another process" in caught.value.remedy
        other.execute("ROLLBACK")
    other.close()
    room.online_write([NEW])
    assert room.online_read(["ann"])[0].total == 2


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("database or disk is full", "free space"),
        ("attempt to write a readonly database", "let this user write"),
        ("unable to open database file", "let this user read and write"),
        ("disk I/O error", "check the disk"),
        ("database disk image is malformed", "remove the file"),
        ("no such table: marks", "run `tailorbird features`"),
    ],
)
def test_each_trouble_of_the_disk_has_its_own_remedy(
    settings: Settings, room: FeatureStoreRoom, message: str, remedy: str
) -> None:
    assert remedy_of(message, settings.feature_folder / "online.db").startswith(remedy)


def test_without_a_store_the_batch_is_refused_and_caught_up_later(settings: Settings, shop: Shop) -> None:
    shop[0].write(settings.catalog_folder)
    room = FeatureStoreRoom(settings)
    with open_events(settings) as log:
        updater = ProfileUpdater(settings, room=room, log=log)
        batch = entries(log, shop[1][:10])
        with pytest.raises(FeatureStoreAwayError):
            updater.apply(batch)
        room.apply()
        assert updater.apply(entries(log, shop[1][10:12])).events == 12
    assert_live(settings, room, shop[0])
