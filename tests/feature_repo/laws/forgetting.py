"""A forgotten user is gone from every table of the online store, and neither a rebuild nor events read ahead bring them back."""

from feature_repo.definitions import USER_KEY
from feature_repo.rows import name_key
from feature_repo.store import FeatureStoreRoom
from feature_repo.updater.fill import fill
from feature_repo.updater.updater import AT_ONCE, ProfileUpdater
from tailorbird.catalog.catalog import Catalog
from tailorbird.events.schema import Event
from tailorbird.settings import Settings
from tailorbird.streams.stream import Stream
from tests.feature_repo.laws.toy import entries, spoil
from tests.features.toy import NOON, event

Shop = tuple[Catalog, list[Event]]


def rows_of(room: FeatureStoreRoom, person: str) -> dict[str, int]:
    """Rows of a person by table, where there are any."""
    database, key = room.online.database(room.config), name_key(USER_KEY, person)
    found = {name: len(database.read(name, [key])) for name in database.tables("test_user_profile")}
    found["damaged"] = sum(each == key for _, each in database.notes("damaged"))
    return {name: count for name, count in found.items() if count}


class ForgettingLaws:
    """Deletion of one person."""

    def test_a_user_is_forgotten_in_every_layout_and_by_a_rebuild_under_way(
        self, settings: Settings, room: FeatureStoreRoom, log: Stream[Event], shop: Shop
    ) -> None:
        person = shop[1][0].user_key
        ProfileUpdater(settings, room=room, log=log).apply(entries(log, shop[1][:300]))
        later = settings.model_copy(update={"history_length": 64})
        live = FeatureStoreRoom(later)
        live.apply()
        updater = ProfileUpdater(later, room=live, log=log)
        updater.catch_up(log)
        beside = FeatureStoreRoom(later, beside=True)
        beside.start_anew()
        fill(beside, log)
        (unwritten,) = beside.online_parts([person])
        spoil(room, user=person)
        room.online_read([person])
        assert sorted(rows_of(room, person).values()) == [1, 1, 1, 1]
        log.forget(person)
        assert live.delete_user(person)
        assert rows_of(room, person) == {}
        assert not live.delete_user(person)
        beside.online_write([unwritten])  # what the fill had in memory
        back = event("back", "view", "saw", NOON, user_id=person.removeprefix("user:"))
        updater.apply(entries(log, [back]))
        rebuild = ProfileUpdater(later, room=beside, log=log)
        rebuild.take_over(log)
        assert [state.total for state in live.online_read([person])] == [1]

    def test_a_user_forgotten_between_the_last_repair_and_the_exchange_is_rebuilt_after_it(
        self, settings: Settings, room: FeatureStoreRoom, log: Stream[Event], shop: Shop
    ) -> None:
        person = shop[1][0].user_key
        updater = ProfileUpdater(settings, room=room, log=log)
        updater.apply(entries(log, shop[1][:100]))
        beside = FeatureStoreRoom(settings, beside=True)
        beside.start_anew()
        rebuild = ProfileUpdater(settings, room=beside, log=log)
        rebuild.catch_up(log)
        (row,) = beside.online_parts([person])
        log.forget(person)
        room.delete_user(person)
        beside.online_write([row])
        with room.online.tables(room.config) as tables:
            tables.exchange(["user_profile", "item_profile"])
        assert room.online_read([person])[0].total == 0
        updater.catch_up(log)
        assert rows_of(room, person) == {}

    def test_events_read_ahead_are_dropped_once_somebody_is_forgotten(
        self, settings: Settings, room: FeatureStoreRoom, log: Stream[Event]
    ) -> None:
        log.append([event(str(n), "view", "saw", NOON + n, user_id=f"u{n % 3}") for n in range(2 * AT_ONCE)])
        updater = ProfileUpdater(settings, room=room, log=log)
        forgotten: list[int] = []

        def forget_after_one_step(count: int) -> None:
            if not forgotten:
                forgotten.append(log.forget("user:u1"))
                room.delete_user("user:u1")

        updater.catch_up(log, on_events=forget_after_one_step)
        assert forgotten
        assert [state.total for state in room.online_read(["user:u0", "user:u1"])] == [334, 0]

    def test_who_is_forgotten_between_the_log_and_the_profile_stays_forgotten(
        self, settings: Settings, room: FeatureStoreRoom, log: Stream[Event]
    ) -> None:
        updater = ProfileUpdater(settings, room=room, log=log)
        updater.apply(entries(log, [event("1", "view", "saw", NOON, user_id="u1")]))
        late = entries(log, [event("2", "view", "saw", NOON + 1, user_id="u1")])
        other = entries(log, [event("3", "view", "saw", NOON + 2, user_id="u2")])
        log.forget("user:u1")
        room.delete_user("user:u1")
        updater.apply(other)  # another thread of this process hears of it first
        updater.apply(late)
        last = entries(log, [event("4", "view", "saw", NOON + 3, user_id="u1")])
        log.forget("user:u1")
        room.delete_user("user:u1")
        updater.apply(last)
        new = entries(log, [event("5", "view", "saw", NOON + 4, user_id="u1")])
        assert updater.apply(new).events == 1
        log.append([event("6", "view", "saw", NOON + 5, user_id="u3")])
        log.forget("user:u3")
        updater.catch_up(log)
        assert log.lag(updater.applied()) == 0  # nobody waits for what is gone
        assert [state.total for state in room.online_read(["user:u1", "user:u2"])] == [1, 1]
