"""What is folded before the transaction is written only where nobody changed the rows meanwhile."""

from collections.abc import Callable
from contextlib import ExitStack

import pytest

from feature_repo.store import FeatureStoreRoom
from feature_repo.updater.folding import Folded, Folding
from feature_repo.updater.updater import ProfileUpdater
from tailorbird.catalog.catalog import Catalog
from tailorbird.events.schema import Event
from tailorbird.settings import Settings
from tailorbird.streams.stream import Stream
from tests.feature_repo.laws.toy import assert_live, entries, spoil

Shop = tuple[Catalog, list[Event]]
Meanwhile = Callable[[Callable[[], object]], None]


class FoldingLaws:
    """Folding ahead."""

    @pytest.fixture
    def folds(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """How many events each fold was given."""
        counts: list[int] = []
        fold = Folding.fold

        def counted(self: Folding, batch, facts) -> Folded:  # type: ignore[no-untyped-def]
            counts.append(len(batch))
            return fold(self, batch, facts)

        monkeypatch.setattr(Folding, "fold", counted)
        return counts

    @pytest.fixture
    def meanwhile(self, monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
        """Have something happen once a batch is folded and before its transaction begins, the first time."""

        def during(act: Callable[[], object]) -> None:
            acts = [act]
            monkeypatch.setattr(
                ProfileUpdater, "_let_others_pass", lambda self, first: acts.pop()() if acts else None
            )

        return during

    def test_rows_that_another_wrote_meanwhile_are_folded_again(
        self,
        settings: Settings,
        room: FeatureStoreRoom,
        log: Stream[Event],
        shop: Shop,
        folds: list[int],
        meanwhile: Meanwhile,
    ) -> None:
        updater = ProfileUpdater(settings, room=room, log=log)
        updater.apply(entries(log, shop[1][:100]))
        theirs, ours = entries(log, shop[1][100:300]), entries(log, shop[1][300:360])
        other = ProfileUpdater(settings, room=FeatureStoreRoom(settings), log=log)
        folds.clear()
        meanwhile(lambda: other.apply(theirs))
        assert updater.apply(ours).events == 60
        assert folds == [60, 200, 60]
        assert_live(settings, room, shop[0])

    def test_rows_of_others_cost_nothing(
        self,
        settings: Settings,
        room: FeatureStoreRoom,
        log: Stream[Event],
        shop: Shop,
        folds: list[int],
        meanwhile: Meanwhile,
    ) -> None:
        updater = ProfileUpdater(settings, room=room, log=log)
        updater.apply(entries(log, shop[1][:100]))
        somebody, rest = shop[1][100].user_key, shop[1][100:400]
        theirs = entries(log, [event for event in rest if event.user_key != somebody])
        ours = entries(log, [event for event in rest if event.user_key == somebody])
        other = ProfileUpdater(settings, room=FeatureStoreRoom(settings), log=log)
        folds.clear()
        meanwhile(lambda: other.apply(theirs))
        updater.apply(ours)
        assert folds == [len(ours), len(theirs)]
        assert_live(settings, room, shop[0])

    def test_who_is_forgotten_meanwhile_is_not_brought_back(
        self, settings: Settings, room: FeatureStoreRoom, log: Stream[Event], shop: Shop, meanwhile: Meanwhile
    ) -> None:
        updater = ProfileUpdater(settings, room=room, log=log)
        updater.apply(entries(log, shop[1][:300]))
        somebody = shop[1][300].user_key
        assert room.online_read([somebody])[0].total > 1
        later = entries(log, shop[1][300:301])
        meanwhile(lambda: FeatureStoreRoom(settings).delete_user(somebody))
        updater.apply(later)
        assert room.online_read([somebody])[0].total == 1  # what came since, and nothing of before

    def test_damage_that_is_met_while_another_writes_is_noted_and_mended(
        self, settings: Settings, room: FeatureStoreRoom, log: Stream[Event], shop: Shop, meanwhile: Meanwhile
    ) -> None:
        updater = ProfileUpdater(settings, room=room, log=log)
        updater.apply(entries(log, shop[1][:300]))
        spoil(room, user=shop[1][300].user_key)
        other = FeatureStoreRoom(settings)
        with ExitStack() as writing:
            writing.enter_context(other.online.tables(other.config))
            meanwhile(writing.close)
            updater.apply(entries(log, shop[1][300:301]))
        assert updater.has_damage()
        updater.catch_up(log)
        assert not updater.has_damage()
        assert_live(settings, room, shop[0])

    def test_a_catalogue_that_changes_meanwhile_is_the_one_that_counts(
        self,
        settings: Settings,
        room: FeatureStoreRoom,
        log: Stream[Event],
        shop: Shop,
        folds: list[int],
        meanwhile: Meanwhile,
    ) -> None:
        updater = ProfileUpdater(settings, room=room, log=log)
        updater.apply(entries(log, shop[1][:100]))
        folds.clear()
        meanwhile(lambda: shop[0].write(settings.catalog_folder))
        updater.apply(entries(log, shop[1][100:140]))
        assert folds == [40, 40]
        assert_live(settings, room, shop[0])
