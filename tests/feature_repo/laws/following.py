"""The updater: every logged event is folded in exactly once, whoever logged it and whenever it is applied."""

import logging
import multiprocessing
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from feature_repo.away import FeatureStoreAwayError
from feature_repo.command import build_features
from feature_repo.store import FeatureStoreRoom
from feature_repo.updater.updater import AT_ONCE, ProfileUpdater
from tailorbird.catalog.catalog import Catalog
from tailorbird.events.rows import EVENTS
from tailorbird.events.schema import Event
from tailorbird.settings import Settings
from tailorbird.streams.compaction import compact
from tailorbird.streams.factory import open_events
from tailorbird.streams.position import Position
from tailorbird.streams.sqlite import SqliteStream
from tailorbird.streams.stream import Stream
from tests.feature_repo.laws.toy import assert_live, entries, spoil
from tests.features.toy import NOON, event
from tests.segments.moves import with_moves

Shop = tuple[Catalog, list[Event]]


def write_share(settings: Settings, part: int, of: int) -> None:
    from tests.features.toy import random_shop

    _, events = random_shop(users=40, items=60, events=2_500, days=30, seed=11)
    with open_events(settings) as log:
        updater = ProfileUpdater(settings, log=log)
        for start in range(part * 5, 300, of * 5):
            updater.apply(entries(log, events[start : start + 5]))


class FollowingLaws:
    """Following the stream."""

    def test_an_event_shows_at_once(
        self, settings: Settings, room: FeatureStoreRoom, log: Stream[Event], shop: Shop
    ) -> None:
        updater = ProfileUpdater(settings, room=room, log=log)
        applied = updater.apply(entries(log, shop[1][:1]))
        assert (applied.users, applied.events, applied.position) == (1, 1, Position({0: 1}))
        assert room.online_read([shop[1][0].user_key])[0].total == 1

    def test_applying_twice_changes_nothing(
        self, settings: Settings, room: FeatureStoreRoom, log: Stream[Event], shop: Shop
    ) -> None:
        updater = ProfileUpdater(settings, room=room, log=log)
        batch = entries(log, shop[1][:50])
        updater.apply(batch)
        again = updater.apply(batch)
        assert (again.users, again.events, again.position) == (0, 0, Position({0: 50}))
        assert_live(settings, room, shop[0])

    def test_moves_among_the_events_are_in_no_row_not_even_in_one_that_is_mended(
        self, settings: Settings, room: FeatureStoreRoom, log: Stream[Event], shop: Shop
    ) -> None:
        updater = ProfileUpdater(settings, room=room, log=log)
        told = with_moves(shop[1][:300], np.random.default_rng(4))
        updater.apply(entries(log, told[:200]))
        spoil(room, user=told[200].user_key)
        spoil(room, item=next(event.item_id for event in told[:200] if event.item_id in shop[0].row_of) or "")
        updater.apply(entries(log, told[200:]))
        updater.catch_up(log)
        assert log.end() == Position({0: len(told)})
        people = sorted({event.user_key for event in shop[1][:300]})
        assert sum(state.total for state in room.online_read(people)) == 300
        assert_live(settings, room, shop[0])

    def test_what_another_process_logged_first_is_folded_in_first(
        self, settings: Settings, room: FeatureStoreRoom, log: Stream[Event], shop: Shop
    ) -> None:
        theirs, ours = entries(log, shop[1][:20]), entries(log, shop[1][20:25])
        one, other = ProfileUpdater(settings, room=room), ProfileUpdater(settings, room=room)
        assert one.apply(ours).events == 25
        assert other.apply(theirs).events == 0
        assert_live(settings, room, shop[0])

    def test_new_events_count_where_the_log_was_put_back_from_an_older_copy(
        self,
        settings: Settings,
        room: FeatureStoreRoom,
        shop: Shop,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        events, users = shop[1], sorted({event.user_key for event in shop[1]})
        database = settings.folder / "events.db"
        with open_events(settings) as log:
            ProfileUpdater(settings, room=room, log=log).apply(entries(log, events[:50]))
        shutil.copy(database, tmp_path / "copy")
        with open_events(settings) as log:
            ProfileUpdater(settings, room=room, log=log).apply(entries(log, events[50:120]))
        shutil.copy(tmp_path / "copy", database)
        totals = {state.user_key: state.total for state in room.online_read(users)}
        with caplog.at_level(logging.WARNING), open_events(settings) as log:
            applied = ProfileUpdater(settings, room=room, log=log).apply(entries(log, events[120:150]))
            assert (applied.events, applied.position) == (30, Position({0: 150}))
        assert "tailorbird features --force" in caplog.text
        for state in room.online_read(users):
            new = sum(event.user_key == state.user_key for event in events[120:150])
            assert state.total == totals[state.user_key] + new

    def test_a_crash_between_log_and_profile_is_caught_up(
        self, settings: Settings, room: FeatureStoreRoom, log: Stream[Event], shop: Shop
    ) -> None:
        log.append(shop[1][:300])
        caught = ProfileUpdater(settings, room=room).catch_up(log)
        assert (caught.events, caught.position, room.applied()) == (
            300,
            Position({0: 300}),
            Position({0: 300}),
        )
        assert ProfileUpdater(settings, room=room).catch_up(log).events == 0
        assert_live(settings, room, shop[0])

    def test_profiles_stay_live_while_features_are_brought_up_to_date(
        self, settings: Settings, room: FeatureStoreRoom, log: Stream[Event], shop: Shop
    ) -> None:
        updater = ProfileUpdater(settings, room=room, log=log)
        log.append(shop[1][:200])
        assert build_features(settings)["position"] == {"0": 200}
        updater.apply(entries(log, shop[1][200:260]))
        log.append(shop[1][260:300])
        assert build_features(settings)["applied"] == 40
        assert room.applied() == Position({0: 300})
        assert_live(settings, room, shop[0])

    def test_a_new_catalogue_is_read_without_a_restart(
        self, settings: Settings, room: FeatureStoreRoom, log: Stream[Event], shop: Shop
    ) -> None:
        updater = ProfileUpdater(settings, room=room, log=log)
        (event,) = [event for event in shop[1] if event.item_id == "gone" and event.type == "view"][:1]
        updater.apply(entries(log, [event]))
        assert len(room.online_read([event.user_key])[0].affinity) == 0
        frame = shop[0].items.copy()
        frame.loc[0, "item_id"] = "gone"
        Catalog.from_frame(frame).write(settings.catalog_folder)
        (other,) = [e for e in shop[1] if e.item_id == "gone" and e.type == "view" and e != event][:1]
        updater.apply(entries(log, [other]))
        assert len(room.online_read([other.user_key])[0].affinity) > 0

    def test_an_archive_is_read_in_strides_and_before_anybody_has_to_wait(
        self, settings: Settings, room: FeatureStoreRoom, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with SqliteStream(
            settings.folder / "long.db", EVENTS, archive=settings.folder / "long"
        ) as log:  # an archive of its own
            log.append(
                [event(str(n), "view", "saw", NOON + n, user_id=f"u{n % 9}") for n in range(6 * AT_ONCE)]
            )
            compact(log)
            waiting: list[bool] = []
            other = FeatureStoreRoom(settings)
            read = log.archive.read

            def noted(**asked: Any) -> Iterator[pa.Table]:
                try:
                    with other.online.database(other.config).transaction(wait=False):
                        waiting.append(False)
                except FeatureStoreAwayError:
                    waiting.append(True)
                return read(**asked)

            monkeypatch.setattr(log.archive, "read", noted)
            assert ProfileUpdater(settings, room=room, log=log).catch_up(log).events == 6 * AT_ONCE
        assert len(waiting) <= 3
        assert not any(waiting)

    @pytest.mark.slow
    def test_two_processes_write_the_same_users_and_lose_nothing(
        self, settings: Settings, room: FeatureStoreRoom, log: Stream[Event], shop: Shop
    ) -> None:
        other = multiprocessing.get_context("spawn").Process(target=write_share, args=(settings, 1, 2))
        other.start()
        write_share(settings, 0, 2)
        other.join(120)
        assert other.exitcode == 0
        assert room.applied() == log.end() == Position({0: 300})
        assert_live(settings, room, shop[0])
