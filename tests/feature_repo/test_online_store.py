"""The online store: the newest row wins, one entity can be forgotten, trouble has a name and a remedy."""

import sqlite3
import subprocess
import sys
import threading

import pytest

from feature_repo.away import FeatureStoreAwayError, remedy_of
from feature_repo.definitions import USER_KEY
from feature_repo.layout import layout_digest
from feature_repo.online_store import NOTHING_SEEN
from feature_repo.rows import name_of
from feature_repo.store import FeatureStoreRoom
from tailorbird.features.state import UserState
from tailorbird.settings import Settings
from tailorbird.streams.position import BEGINNING, Position
from tests.features.toy import FACTS, NOON, event

OLD = UserState.empty("ann").fold([event("1", "view", "kettle", NOON)], FACTS)
NEW = OLD.fold([event("2", "view", "saw", NOON + 9)], FACTS)
LATE = NEW.fold([event("3", "view", "drill", NOON + 5)], FACTS)


def test_an_older_row_never_overwrites_a_newer_one(room: FeatureStoreRoom) -> None:
    for order in ((OLD, NEW, LATE), (LATE, NEW, OLD), (NEW, LATE, OLD)):
        for state in order:
            room.online_write([state])
        assert room.online_read(["ann"])[0].version == LATE.version
        assert room.delete_user("ann")


def test_readers_get_their_order_and_empty_profiles_for_strangers(room: FeatureStoreRoom) -> None:
    room.online_write([NEW])
    states = room.online_read(["bob", "ann", "ann", "carl"])
    assert [state.user_key for state in states] == ["bob", "ann", "ann", "carl"]
    assert [state.total for state in states] == [0, 2, 2, 0]
    assert room.online_read([]) == []


def test_more_users_than_one_query_holds(room: FeatureStoreRoom) -> None:
    names = [f"u{n}" for n in range(1_234)]
    room.online_write(
        [
            UserState.empty(name).fold([event("1", "view", "saw", NOON + n)], FACTS)
            for n, name in enumerate(names)
        ]
    )
    assert [state.last_seen for state in room.online_read(names)] == [
        round((NOON + n) * 1e6) for n in range(len(names))
    ]


def test_a_deleted_user_is_gone(room: FeatureStoreRoom) -> None:
    room.online_write([NEW])
    assert room.delete_user("ann")
    assert room.online_read(["ann"])[0].total == 0
    assert not room.delete_user("ann")


def test_a_transaction_that_fails_leaves_nothing(room: FeatureStoreRoom) -> None:
    def fail() -> None:
        with room.online.tables(room.config) as tables:
            room.online_write([NEW])
            tables.set_position(Position({0: 9}))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert room.online_read(["ann"])[0].total == 0
    assert room.applied() == BEGINNING


def test_trouble_inside_a_transaction_is_named_and_rolled_back(room: FeatureStoreRoom) -> None:
    def fail() -> None:
        with room.online.transaction(room.config) as connection:
            room.online_write([OLD])
            connection.execute(f'DROP TABLE "test_user_profile_{layout_digest(room.settings)}"')
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
    room.config.online_store.busy_timeout_ms = 50
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


def test_threads_read_while_another_writes(room: FeatureStoreRoom) -> None:
    room.online_write([OLD])
    totals: list[int] = []

    def read() -> None:
        totals.extend(room.online_read(["ann"])[0].total for _ in range(100))
        room.online.disconnect()

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        room.online_write([NEW])
    for thread in threads:
        thread.join()
    assert set(totals) <= {1, 2}
    assert len(totals) == 300


def test_only_changed_rows_are_read_again(room: FeatureStoreRoom) -> None:
    view = room.definitions.user_profile
    room.online_write([OLD])
    mark, rows = room.online.read_changed(room.config, view, after=NOTHING_SEEN)
    assert [name_of(USER_KEY, key) for key, _ in rows] == ["ann"]
    assert room.online.read_changed(room.config, view, after=mark) == (mark, [])
    room.online_write([NEW])
    later, rows = room.online.read_changed(room.config, view, after=mark)
    assert (later > mark, len(rows)) == (True, 1)


def test_feast_sends_nothing_home() -> None:
    """Feast once reported usage: no module of it may name its old endpoint or switch."""
    code = (
        "import importlib.util, pathlib; root = pathlib.Path(importlib.util.find_spec('feast').origin).parent;"
        "print([str(f) for f in root.rglob('*.py') if 'usage.feast.dev' in f.read_text() or 'FEAST_USAGE' in f.read_text()])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
