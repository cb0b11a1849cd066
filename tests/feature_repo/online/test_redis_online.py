"""A Redis that is empty, full, killed, evicting or half lost: named, never taken for whole, and filled again from the events."""

import contextlib
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from feature_repo.away import FeatureStoreAwayError
from feature_repo.command import build_features
from feature_repo.definitions import USER_KEY
from feature_repo.online.factory import online_position
from feature_repo.online.redis import RedisDatabase
from feature_repo.online.redis_commit import Committer
from feature_repo.online.redis_scripts import bucket_of
from feature_repo.rows import name_key
from feature_repo.store import FeatureStoreRoom
from feature_repo.updater.updater import ProfileUpdater, rebuild_beside
from tailorbird.catalog.catalog import Catalog
from tailorbird.events.schema import Event
from tailorbird.features.items.counters import ItemCounters
from tailorbird.features.items.items import ItemTable
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_events
from tailorbird.streams.position import BEGINNING
from tailorbird.streams.stream import Entry, Stream, StreamAwayError
from tests.feature_repo.laws.toy import assert_live, entries
from tests.redis_server import RedisServer, new_cluster

Shop = tuple[Catalog, list[Event]]


@pytest.fixture
def settings(tmp_path: Path, redis_server: RedisServer) -> Settings:
    return load_settings(
        home=tmp_path / "home", mlruns=tmp_path / "mlruns", workspace="test", online=redis_server.url
    )


@pytest.fixture
def updater(
    settings: Settings, room: FeatureStoreRoom, log: Stream[Event], shop: Shop
) -> Iterator[ProfileUpdater]:
    """An updater that has folded 300 events."""
    updater = ProfileUpdater(settings, room=room, log=log)
    updater.apply(entries(log, shop[1][:300]))
    yield updater
    log.close()


def database_of(room: FeatureStoreRoom) -> RedisDatabase:
    database = room.online.database(room.config)
    assert isinstance(database, RedisDatabase)
    return database


def test_rebuilding_from_the_log_gives_the_same_rows_on_both_engines(
    settings: Settings, updater: ProfileUpdater, room: FeatureStoreRoom, log: Stream[Event], shop: Shop
) -> None:
    log.append(shop[1][300:900])
    build_features(settings, force=True)
    embedded = settings.model_copy(update={"online": "sqlite"})
    build_features(embedded, force=True)
    other = FeatureStoreRoom(embedded)
    people = sorted({event.user_key for event in shop[1]})
    for one, two in zip(room.online_parts(people), other.online_parts(people), strict=True):
        assert {name: np.asarray(value).tobytes() for name, value in one.to_row().items()} == {
            name: np.asarray(value).tobytes() for name, value in two.to_row().items()
        }
    assert room.item_table(shop[0]).sums.tobytes() == other.item_table(shop[0]).sums.tobytes()
    assert room.applied() == other.applied() == online_position(settings) == log.end()


def test_a_redis_that_forgets_everything_is_away_until_all_of_it_is_filled_again(
    settings: Settings,
    updater: ProfileUpdater,
    room: FeatureStoreRoom,
    log: Stream[Event],
    shop: Shop,
    redis_server: RedisServer,
) -> None:
    person = shop[1][0].user_key
    room.item_table(shop[0])
    redis_server.command("FLUSHALL")
    seen: list[str] = []

    def look(*_: object) -> None:
        try:
            room.online_read([person])
        except FeatureStoreAwayError as error:
            seen.append(error.what)
        else:
            seen.append("read")

    look()
    with pytest.raises(FeatureStoreAwayError, match="lost its rows"):
        updater.apply(entries(log, shop[1][300:310]))
    with pytest.raises(FeatureStoreAwayError):
        room.item_table(shop[0])
    assert updater.has_damage()
    updater.catch_up(log, on_events=look)
    assert len(seen) > 1
    assert all("lost its rows" in each for each in seen)
    assert not updater.has_damage()
    assert_live(settings, room, shop[0])
    updater.apply(entries(log, shop[1][310:330]))
    assert_live(settings, room, shop[0])


def test_the_command_fills_an_emptied_redis_without_showing_half_of_it(
    settings: Settings,
    updater: ProfileUpdater,
    room: FeatureStoreRoom,
    log: Stream[Event],
    shop: Shop,
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    build_features(settings)
    redis_server.command("FLUSHALL")
    write, lost = FeatureStoreRoom.online_write, []

    def noted(self: FeatureStoreRoom, states) -> None:  # type: ignore[no-untyped-def]
        lost.append(room.is_lost())
        write(self, states)

    monkeypatch.setattr(FeatureStoreRoom, "online_write", noted)
    assert not build_features(settings)["skipped"]
    assert lost
    assert all(lost)
    assert_live(settings, room, shop[0])


def test_two_replicas_do_not_fill_it_twice(
    settings: Settings, updater: ProfileUpdater, log: Stream[Event], redis_server: RedisServer
) -> None:
    redis_server.command("FLUSHALL")
    other = FeatureStoreRoom(settings)
    with database_of(other).alone("rebuild") as mine:
        assert mine
        with pytest.raises(FeatureStoreAwayError, match="made anew already"):
            updater.catch_up(log)
    updater.catch_up(log)
    assert not updater.has_damage()


def test_a_redis_that_forgets_while_it_is_filled_is_filled_again(
    settings: Settings,
    updater: ProfileUpdater,
    room: FeatureStoreRoom,
    log: Stream[Event],
    shop: Shop,
    redis_server: RedisServer,
) -> None:
    redis_server.command("FLUSHALL")
    with pytest.raises(FeatureStoreAwayError):
        rebuild_beside(settings, log, on_events=lambda count: redis_server.command("FLUSHALL"))
    assert room.is_lost()
    updater.catch_up(log)
    assert_live(settings, room, shop[0])


def test_a_bucket_that_was_thrown_away_is_noticed_by_its_people_alone_and_filled_again(
    settings: Settings,
    updater: ProfileUpdater,
    room: FeatureStoreRoom,
    log: Stream[Event],
    shop: Shop,
    redis_server: RedisServer,
) -> None:
    people = sorted({event.user_key for event in shop[1][:300]})
    bucket = bucket_of(name_key(USER_KEY, people[0]))
    other = next(each for each in people if bucket_of(name_key(USER_KEY, each)) != bucket)
    (place,) = redis_server.command("KEYS", f"*:{bucket}}}:rows-*")
    redis_server.command("DEL", place)
    with pytest.raises(FeatureStoreAwayError, match="lost its rows"):
        room.online_read([people[0]])
    assert room.online_read([other])[0].total > 0
    assert updater.has_damage()
    updater.catch_up(log)
    assert_live(settings, room, shop[0])


def test_a_killed_redis_is_away_and_comes_back_empty(
    settings: Settings,
    updater: ProfileUpdater,
    room: FeatureStoreRoom,
    log: Stream[Event],
    shop: Shop,
    redis_server: RedisServer,
) -> None:
    redis_server.kill()
    for act in (lambda: room.online_read(["ann"]), lambda: updater.apply(entries(log, shop[1][300:310]))):
        with pytest.raises(FeatureStoreAwayError) as caught:
            act()
        assert "start it" in caught.value.remedy
    assert online_position(settings) == BEGINNING
    redis_server.start()
    with pytest.raises(FeatureStoreAwayError, match="lost its rows"):
        room.online_read(["ann"])
    updater.catch_up(log)
    assert_live(settings, room, shop[0])


def test_readers_hear_of_all_that_is_written_in_a_redis_that_came_back_a_little_older(
    settings: Settings, updater: ProfileUpdater, log: Stream[Event], shop: Shop, redis_server: RedisServer
) -> None:
    base = ItemTable.of(shop[0], ItemCounters.empty(len(shop[0])))
    saved = {key: redis_server.command("DUMP", key) for key in redis_server.command("KEYS", "*")}
    early, late = FeatureStoreRoom(settings).live_items, FeatureStoreRoom(settings).live_items
    for start in range(300, 340, 10):
        updater.apply(entries(log, shop[1][start : start + 10]))
    early.over(base), late.over(base)
    redis_server.command("FLUSHALL")
    for key, value in saved.items():
        redis_server.command("RESTORE", key, 0, value)

    def truth() -> list[float]:
        return FeatureStoreRoom(settings).item_table(shop[0]).totals.tolist()

    assert early.over(base).totals.tolist() == truth()
    updater.catch_up(log)
    updater.apply(entries(log, shop[1][340:350]))
    assert early.over(base).totals.tolist() == late.over(base).totals.tolist() == truth()


def test_a_redis_that_hangs_is_away_after_a_moment_and_back_once_it_goes_on(
    updater: ProfileUpdater, room: FeatureStoreRoom, shop: Shop, redis_server: RedisServer
) -> None:
    assert redis_server.process is not None
    redis_server.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(FeatureStoreAwayError, match="Timeout") as caught:
            room.online_read([shop[1][0].user_key])
        assert "overloaded" in caught.value.remedy
    finally:
        redis_server.process.send_signal(signal.SIGCONT)
    assert room.online_read([shop[1][0].user_key])[0].total > 0


def test_a_full_redis_says_so_goes_on_answering_and_catches_up_once_it_has_room(
    settings: Settings,
    updater: ProfileUpdater,
    room: FeatureStoreRoom,
    log: Stream[Event],
    shop: Shop,
    redis_server: RedisServer,
) -> None:
    before = room.applied()
    redis_server.command("CONFIG", "SET", "maxmemory", "1mb")
    with pytest.raises(FeatureStoreAwayError, match="used memory") as caught:
        updater.apply(entries(log, shop[1][300:310]))
    assert "maxmemory" in caught.value.remedy
    assert room.online_read([shop[1][0].user_key])[0].total > 0
    assert room.applied() == before
    redis_server.command("CONFIG", "SET", "maxmemory", "0")
    updater.catch_up(log)
    assert_live(settings, room, shop[0])


def test_a_redis_that_would_throw_rows_away_is_refused(settings: Settings, redis_server: RedisServer) -> None:
    redis_server.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    with pytest.raises(FeatureStoreAwayError, match="allkeys-lru") as caught:
        FeatureStoreRoom(settings).apply()
    assert "noeviction" in caught.value.remedy
    redis_server.command("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
    FeatureStoreRoom(settings).apply()


def test_a_turn_that_lapsed_commits_nothing_over_another_writer(
    updater: ProfileUpdater, room: FeatureStoreRoom, settings: Settings, redis_server: RedisServer
) -> None:
    slow, quick = FeatureStoreRoom(settings), FeatureStoreRoom(settings)

    def overtaken() -> None:
        with slow.online.tables(slow.config) as tables:
            redis_server.command("DEL", database_of(slow).wire.keys.lock)
            quick.delete_user("user:nobody")
            tables.set_position(BEGINNING)

    reached = room.applied()
    with pytest.raises(FeatureStoreAwayError, match="another writer came first"):
        overtaken()
    assert room.applied() == reached


def test_a_turn_that_lapsed_and_was_not_taken_commits(
    updater: ProfileUpdater, room: FeatureStoreRoom, redis_server: RedisServer
) -> None:
    with room.online.tables(room.config) as tables:
        redis_server.command("DEL", database_of(room).wire.keys.lock)
        tables.set_position(BEGINNING)
    assert room.applied() == BEGINNING


def test_prefixes_keep_workspaces_of_one_name_apart(
    settings: Settings, updater: ProfileUpdater, redis_server: RedisServer
) -> None:
    other = FeatureStoreRoom(settings.model_copy(update={"online": f"{redis_server.url}?prefix=second"}))
    assert other.is_lost()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisServer]:
    server = new_cluster(tmp_path / "cluster")
    yield server
    server.kill()


@pytest.fixture
def in_cluster(tmp_path: Path, cluster: RedisServer, shop: Shop) -> FeatureStoreRoom:
    """An applied room whose rows are in a cluster."""
    settings = load_settings(
        home=tmp_path / "home",
        mlruns=tmp_path / "mlruns",
        workspace="test",
        online=f"{cluster.url}?cluster=true",
    )
    shop[0].write(settings.catalog_folder)
    room = FeatureStoreRoom(settings)
    room.apply()
    return room


def test_what_a_dead_writer_has_committed_is_applied_by_the_next(
    in_cluster: FeatureStoreRoom, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, apply, calls = in_cluster.settings, Committer._apply, []

    def dies(self: Committer, *arguments) -> None:  # type: ignore[no-untyped-def]
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        apply(self, *arguments)

    with open_events(settings) as log:
        updater = ProfileUpdater(settings, room=in_cluster, log=log)
        updater.apply(entries(log, shop[1][:60]))
        with monkeypatch.context() as patched:
            patched.setattr(Committer, "_apply", dies)
            with pytest.raises(KeyboardInterrupt):
                updater.apply(entries(log, shop[1][60:160]))
        assert updater.has_damage()
        updater.catch_up(log)
        assert not updater.has_damage()
        assert_live(settings, in_cluster, shop[0])


def test_a_bucket_whose_last_writes_went_with_a_failover_is_not_whole_any_more(
    in_cluster: FeatureStoreRoom, shop: Shop, cluster: RedisServer
) -> None:
    settings = in_cluster.settings
    with open_events(settings) as log:
        updater = ProfileUpdater(settings, room=in_cluster, log=log)
        updater.apply(entries(log, shop[1][:100]))
        person = shop[1][100].user_key
        fence = database_of(in_cluster).wire.keys.fence(bucket_of(name_key(USER_KEY, person)))
        cluster.command("SET", fence, 7)  # as a replica has it that was promoted before it had the rest
        updater.apply(entries(log, shop[1][100:101]))
        with pytest.raises(FeatureStoreAwayError, match="lost its rows"):
            in_cluster.online_read([person])
        updater.catch_up(log)
        assert_live(settings, in_cluster, shop[0])


def test_several_updaters_on_a_cluster_fold_each_event_once(in_cluster: FeatureStoreRoom, shop: Shop) -> None:
    settings, events, failed = in_cluster.settings, shop[1][:300], []

    def collect(part: int) -> None:
        try:
            with open_events(settings) as log:
                updater = ProfileUpdater(settings, log=log)
                for start in range(part * 10, len(events), 30):
                    updater.apply(appended(log, events[start : start + 10]))
        except Exception as error:
            failed.append(error)

    def appended(log: Stream[Event], batch: list[Event]) -> Sequence[Entry[Event]]:
        for _ in range(20):  # as a caller does who was answered 503: the log is in one file
            with contextlib.suppress(StreamAwayError):
                return entries(log, batch)
        return entries(log, batch)

    open_events(settings).close()
    threads = [threading.Thread(target=collect, args=(part,)) for part in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with open_events(settings) as log:
        ProfileUpdater(settings, room=in_cluster, log=log).catch_up(log)
    assert_live(settings, in_cluster, shop[0])
