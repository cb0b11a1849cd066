"""Damaged rows that are met in a failed fold, damaged again, or counted last: none is overwritten and every reader hears of its repair."""

import pytest

from feature_repo.store import FeatureStoreRoom
from feature_repo.updater.updater import ProfileUpdater
from tailorbird.catalog.catalog import Catalog
from tailorbird.events.schema import Event
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events
from tailorbird.streams.stream import Stream
from tests.feature_repo.laws.toy import assert_live, entries, spoil

Shop = tuple[Catalog, list[Event]]


def shared(events: list[Event], *, after: int) -> tuple[str, list[Event]]:
    """Somebody of the first events, and two later events of theirs."""
    early = {event.user_key for event in events[:after]}
    person = next(event.user_key for event in events[after:] if event.user_key in early)
    return person, [event for event in events[after:] if event.user_key == person][:2]


class DamageLaws:
    """Damaged rows."""

    def test_damage_met_in_a_fold_that_fails_is_not_folded_over_by_the_next(
        self,
        settings: Settings,
        room: FeatureStoreRoom,
        log: Stream[Event],
        shop: Shop,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        updater = ProfileUpdater(settings, room=room, log=log)
        updater.apply(entries(log, shop[1][:150]))
        person, more = shared(shop[1], after=150)
        spoil(room, user=person)

        def full(*_: object) -> None:
            raise OSError("disk full")

        with monkeypatch.context() as patched:
            patched.setattr(room.online, "write_rows", full)
            with pytest.raises(OSError, match="disk full"):
                updater.apply(entries(log, more[:1]))
        updater.apply(entries(log, more[1:]))
        assert updater.has_damage()
        updater.catch_up(log)
        assert_live(settings, room, shop[0])

    def test_a_row_damaged_again_after_another_replica_rebuilt_it_is_rebuilt_again(
        self, settings: Settings, room: FeatureStoreRoom, log: Stream[Event], shop: Shop
    ) -> None:
        with open_events(settings) as other_log:
            updater = ProfileUpdater(settings, room=room, log=log)
            other = ProfileUpdater(settings, room=FeatureStoreRoom(settings), log=other_log)
            updater.apply(entries(log, shop[1][:150]))
            person, more = shared(shop[1], after=150)
            for event in more:
                spoil(room, user=person)
                other.apply(entries(other_log, [event]))
                assert updater.has_damage()
                updater.catch_up(log)
                assert_live(settings, room, shop[0])

    def test_a_reader_that_lives_on_gets_a_rebuilt_item_row_that_was_written_last(
        self, settings: Settings, room: FeatureStoreRoom, log: Stream[Event], shop: Shop
    ) -> None:
        updater = ProfileUpdater(settings, room=room, log=log)
        updater.apply(entries(log, shop[1][:100]))
        last = next(event for event in shop[1][100:] if event.item_id in shop[0].row_of)
        updater.apply(entries(log, [last]))
        spoil(room, item=last.item_id or "")
        reader = FeatureStoreRoom(settings)
        assert reader.item_table(shop[0]).totals[shop[0].row_of[last.item_id or ""]] == 0
        updater.catch_up(log)
        assert_live(settings, reader, shop[0])
