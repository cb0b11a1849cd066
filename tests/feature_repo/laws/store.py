"""The online store: the newest row wins, one entity can be forgotten, trouble has a name and a remedy."""

import threading

import pytest

from feature_repo.definitions import ITEM_KEY
from feature_repo.online.plugin import NOTHING_SEEN
from feature_repo.rows import name_of
from feature_repo.store import FeatureStoreRoom
from feature_repo.updater.updater import ProfileUpdater
from tailorbird.catalog.catalog import Catalog
from tailorbird.events.schema import Event
from tailorbird.features.profile.folding import fold
from tailorbird.features.profile.state import UserState
from tailorbird.settings import Settings
from tailorbird.streams.position import BEGINNING, Position
from tailorbird.streams.stream import Stream
from tests.feature_repo.laws.toy import entries
from tests.features.toy import FACTS, NOON, event

Shop = tuple[Catalog, list[Event]]
OLD = fold(UserState.empty("ann"), [event("1", "view", "kettle", NOON)], FACTS)
NEW = fold(OLD, [event("2", "view", "saw", NOON + 9)], FACTS)
LATE = fold(NEW, [event("3", "view", "drill", NOON + 5)], FACTS)


class StoreLaws:
    """The store itself."""

    def test_an_older_row_never_overwrites_a_newer_one(self, room: FeatureStoreRoom) -> None:
        for order in ((OLD, NEW, LATE), (LATE, NEW, OLD), (NEW, LATE, OLD)):
            for state in order:
                room.online_write([state])
            assert room.online_read(["ann"])[0].version == LATE.version
            assert room.delete_user("ann")

    def test_readers_get_their_order_and_empty_profiles_for_strangers(self, room: FeatureStoreRoom) -> None:
        room.online_write([NEW])
        states = room.online_read(["bob", "ann", "ann", "carl"])
        assert [state.user_key for state in states] == ["bob", "ann", "ann", "carl"]
        assert [state.total for state in states] == [0, 2, 2, 0]
        assert room.online_read([]) == []

    def test_more_users_than_one_query_holds(self, room: FeatureStoreRoom) -> None:
        names = [f"u{n}" for n in range(1_234)]
        room.online_write(
            [
                fold(UserState.empty(name), [event("1", "view", "saw", NOON + n)], FACTS)
                for n, name in enumerate(names)
            ]
        )
        assert [state.last_seen for state in room.online_read(names)] == [
            round((NOON + n) * 1e6) for n in range(len(names))
        ]

    def test_a_deleted_user_is_gone(self, room: FeatureStoreRoom) -> None:
        room.online_write([NEW])
        assert room.delete_user("ann")
        assert room.online_read(["ann"])[0].total == 0
        assert not room.delete_user("ann")

    def test_a_transaction_that_fails_leaves_nothing(self, room: FeatureStoreRoom) -> None:
        def fail() -> None:
            with room.online.tables(room.config) as tables:
                room.online_write([NEW])
                tables.set_position(Position({0: 9}))
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fail()
        assert room.online_read(["ann"])[0].total == 0
        assert room.applied() == BEGINNING

    def test_threads_read_while_another_writes(self, room: FeatureStoreRoom) -> None:
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

    def test_only_changed_rows_of_items_are_read_again(
        self, settings: Settings, room: FeatureStoreRoom, log: Stream[Event], shop: Shop
    ) -> None:
        updater, view = ProfileUpdater(settings, room=room, log=log), room.definitions.item_profile
        known = [each for each in shop[1] if each.item_id in shop[0].row_of]
        updater.apply(entries(log, known[:3]))
        mark, rows = room.online.read_changed(room.config, view, after=NOTHING_SEEN)
        assert {name_of(ITEM_KEY, key) for key, _ in rows} == {each.item_id for each in known[:3]}
        assert room.online.read_changed(room.config, view, after=mark) == (mark, [])
        updater.apply(entries(log, known[3:4]))
        later, rows = room.online.read_changed(room.config, view, after=mark)
        assert (later > mark, [name_of(ITEM_KEY, key) for key, _ in rows]) == (True, [known[3].item_id])
