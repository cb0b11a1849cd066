"""Rows that are made anew while the old ones serve, rows of another layout, and rows that a disk has spoilt."""

import itertools
from dataclasses import replace

import numpy as np

from feature_repo.command import build_features
from feature_repo.definitions import USER_KEY
from feature_repo.layout import layout_digest
from feature_repo.rows import name_key
from feature_repo.store import FeatureStoreRoom
from feature_repo.updater.updater import ProfileUpdater, rebuild_beside
from tailorbird.catalog.catalog import Catalog
from tailorbird.events.schema import Event
from tailorbird.settings import Settings
from tailorbird.streams.stream import Stream
from tests.feature_repo.laws.toy import assert_live, entries, spoil

Shop = tuple[Catalog, list[Event]]


class RebuildLaws:
    """Rows beside, other layouts, damage met by readers."""

    def test_profiles_stay_live_while_they_are_made_anew(
        self, settings: Settings, room: FeatureStoreRoom, log: Stream[Event], shop: Shop
    ) -> None:
        live = ProfileUpdater(settings, room=room, log=log)
        live.apply(entries(log, shop[1][:600]))
        room.item_table(shop[0])  # a replica that holds the items of before
        beside = FeatureStoreRoom(settings, beside=True)
        beside.start_anew()
        updater = ProfileUpdater(settings, room=beside, log=log)
        updater.catch_up(log)
        live.apply(entries(log, shop[1][600:700]))
        assert_live(settings, room, shop[0])
        assert beside.applied() != room.applied()
        assert updater.take_over(log) == room.applied() == log.end()
        assert_live(settings, room, shop[0])
        live.apply(entries(log, shop[1][700:750]))
        assert_live(settings, room, shop[0])
        rebuild_beside(settings, log)  # and once more: nothing of the first exchange is in the way
        assert_live(settings, room, shop[0])

    def test_rows_made_anew_replace_what_was_wrong(
        self, settings: Settings, room: FeatureStoreRoom, log: Stream[Event], shop: Shop
    ) -> None:
        ProfileUpdater(settings, room=room, log=log).apply(entries(log, shop[1][:300]))
        person = shop[1][0].user_key
        (state,) = room.online_read([person])
        room.online_write([replace(state, total=state.total + 50)])
        build_features(settings, force=True)
        assert_live(settings, room, shop[0])

    def test_layouts_long_gone_are_dropped_and_the_one_before_is_kept(
        self, settings: Settings, room: FeatureStoreRoom, log: Stream[Event], shop: Shop
    ) -> None:
        log.append(shop[1][:50])
        layouts = [settings.model_copy(update={"history_length": length}) for length in (128, 64, 32)]
        for each in layouts:
            own = FeatureStoreRoom(each)
            own.apply()
            ProfileUpdater(each, room=own, log=log).catch_up(log)
        with room.online.tables(room.config) as tables:
            names = set(tables.database.tables("test_user"))
            assert tables.live() == layout_digest(layouts[2])
        kept = {f"test_user_profile_{layout_digest(each)}" for each in layouts[1:]}
        assert names == kept

    def test_one_damaged_row_hides_one_profile_and_is_rebuilt_from_the_stream(
        self, settings: Settings, room: FeatureStoreRoom, log: Stream[Event], shop: Shop
    ) -> None:
        met: list[int] = []
        room.online.on_damage = met.append
        updater = ProfileUpdater(settings, room=room, log=log)
        updater.apply(entries(log, shop[1][:400]))
        people = sorted({event.user_key for event in shop[1][:400]})
        before = room.online_read(people)
        victim = max(before, key=lambda state: state.total).user_key
        spoil(room, user=victim)
        after = room.online_read(people)
        assert sum(met) == 1
        hidden = [
            one.user_key for one, other in zip(before, after, strict=True) if one.version != other.version
        ]
        assert hidden == [victim]
        updater.apply(entries(log, shop[1][400:450]))  # the others go on; nothing is folded into nothing
        assert room.online_read([victim])[0].total == 0
        updater.catch_up(log)
        assert_live(settings, room, shop[0])

    def test_a_damaged_row_that_only_the_updater_meets_is_rebuilt_too(
        self, settings: Settings, room: FeatureStoreRoom, log: Stream[Event], shop: Shop
    ) -> None:
        updater = ProfileUpdater(settings, room=room, log=log)
        updater.apply(entries(log, shop[1][:300]))
        spoil(room, user=shop[1][300].user_key)
        touched = next(event for event in shop[1][301:] if event.item_id in shop[0].row_of)
        spoil(room, item=touched.item_id or "")
        updater.apply(entries(log, [shop[1][300], touched]))
        updater.catch_up(log)
        assert_live(settings, room, shop[0])

    def test_a_damaged_item_row_costs_no_other_item_its_counts(
        self, settings: Settings, room: FeatureStoreRoom, log: Stream[Event], shop: Shop
    ) -> None:
        updater = ProfileUpdater(settings, room=room, log=log)
        updater.apply(entries(log, shop[1][:300]))
        whole = room.item_table(shop[0]).totals
        item = str(shop[0].item_ids[int(np.argmax(whole))])
        spoil(room, item=item)
        seen = FeatureStoreRoom(settings).item_table(shop[0]).totals
        differs = np.flatnonzero(seen != whole)
        assert differs.tolist() == [shop[0].row_of[item]]
        updater.catch_up(log)
        assert FeatureStoreRoom(settings).item_table(shop[0]).totals.tolist() == whole.tolist()

    def test_a_request_notes_damage_without_waiting_for_a_writer(
        self, settings: Settings, room: FeatureStoreRoom, log: Stream[Event], shop: Shop
    ) -> None:
        ProfileUpdater(settings, room=room, log=log).apply(entries(log, shop[1][:20]))
        victim = shop[1][0].user_key
        spoil(room, user=victim)
        reader = FeatureStoreRoom(settings)
        met: list[int] = []
        reader.online.on_damage = met.append
        with room.online.tables(room.config):  # a writer at work, for as long as the reader reads
            assert reader.online_read([victim])[0].total == 0
        for _ in itertools.repeat(None, 3):
            reader.online_read([victim])
        assert sum(met) == 4
        with room.online.tables(room.config) as tables:
            assert tables.damaged("user_profile") == [name_key(USER_KEY, victim)]
