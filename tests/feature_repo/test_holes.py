"""The updater on a stream of three partitions with holes: whatever is late, doubled or lost on the way, rows are the replay."""

import itertools
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_repo.store import VIEWS, FeatureStoreRoom
from feature_repo.updater.updater import AT_ONCE, MISSING_STEPS, ProfileUpdater
from tailorbird.catalog.catalog import Catalog
from tailorbird.events.rows import EVENTS
from tailorbird.events.schema import Event
from tailorbird.features.profile.replay import ReplayProfiles
from tailorbird.settings import Settings
from tailorbird.streams.position import BEGINNING
from tailorbird.streams.stream import Entry
from tests.features.profile.test_state import assert_same
from tests.features.toy import CATALOG, DAY, NOON, event, frame, random_shop
from tests.proving import tries
from tests.streams.toy import HolesStream

_numbers = itertools.count()


@pytest.fixture
def log(tmp_path: Path) -> HolesStream:
    return HolesStream(EVENTS, tmp_path / f"holes{next(_numbers)}")


def assert_replayed(room: FeatureStoreRoom, events: list[Event], catalog: Catalog) -> None:
    people = sorted({each.user_key for each in events})
    replay = ReplayProfiles.of_frame(frame(events), catalog).states_at(people, np.full(len(people), 9e9))
    for state, wanted in zip(room.online_read(people), replay, strict=True):
        assert_same(state, wanted)
        assert state.links == wanted.links


def test_a_batch_with_holes_before_it_takes_along_what_is_missing(
    settings: Settings, room: FeatureStoreRoom, log: HolesStream, shop: tuple[Catalog, list[Event]]
) -> None:
    updater = ProfileUpdater(settings, room=room, log=log)
    log.append(shop[1][:40])  # appended by somebody who died before folding
    ours = log.append(shop[1][40:60]).entries
    applied = updater.apply(ours)
    assert (applied.events, applied.position, applied.behind) == (60, log.end(), False)
    assert updater.apply(ours).events == 0
    assert_replayed(room, shop[1][:60], shop[0])


def test_a_long_backlog_is_left_to_the_catch_up(
    settings: Settings, room: FeatureStoreRoom, log: HolesStream
) -> None:
    many = [event(str(n), "view", "kettle", NOON + n) for n in range(AT_ONCE * (MISSING_STEPS + 2))]
    log.append(many)
    ours = log.append([event("ours", "view", "saw", NOON)]).entries
    updater = ProfileUpdater(settings, room=room, log=log)
    applied = updater.apply(ours)
    assert applied.behind
    assert applied.events == AT_ONCE * (MISSING_STEPS + 1)
    heard: list[int] = []
    caught = updater.catch_up(log, on_events=heard.append)
    assert applied.events + caught.events == len(many) + 1
    assert max(heard) <= AT_ONCE
    assert not updater.apply(ours).behind


@settings(
    max_examples=tries(6, 50), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 9_999), data=st.data())
def test_late_doubled_future_and_lost_deliveries_give_the_replayed_profiles(
    tmp_path: Path,
    settings: Settings,
    room: FeatureStoreRoom,
    shop: tuple[Catalog, list[Event]],
    seed: int,
    data: st.DataObject,
) -> None:
    with room.online.tables(room.config) as tables:
        tables.drop(VIEWS)
        tables.create(VIEWS)
    _, events = random_shop(users=3, items=60, events=40, days=20, seed=seed)
    words = data.draw(
        st.lists(st.tuples(st.sampled_from("ab"), st.booleans(), st.floats(-5, 400)), max_size=4)
    )
    events += [
        event(
            f"l{n}",
            "identify" if on else "unlink",
            None,
            NOON + days * DAY,
            user_id="u1",
            anonymous_id=f"a{who}",
        )
        for n, (who, on, days) in enumerate(words)
    ]
    events.append(event("future", "view", "i1", NOON + 900 * DAY, user_id="u1"))
    arriving = data.draw(st.permutations(events))
    log = HolesStream(EVENTS, tmp_path / f"law{next(_numbers)}")
    updaters = [ProfileUpdater(settings, room=room, log=log) for _ in range(2)]
    sent: list[Entry[Event]] = []
    while arriving:
        size = data.draw(st.integers(1, 15))
        batch, arriving = arriving[:size], arriving[size:]
        stored = log.append(batch).entries
        sent += stored
        fate = data.draw(st.sampled_from(["folded", "lost", "shuffled", "again"]))
        if fate == "folded":
            updaters[0].apply(stored)
        elif fate == "shuffled":
            updaters[1].apply(data.draw(st.permutations(stored)))
        elif fate == "again":
            updaters[1].apply([*sent, *stored])
    updaters[0].catch_up(log)
    assert room.applied() == log.end()
    assert_replayed(room, events, shop[0])


def test_several_updaters_at_once_fold_each_event_once(
    settings: Settings, room: FeatureStoreRoom, log: HolesStream, shop: tuple[Catalog, list[Event]]
) -> None:
    lock, events = threading.Lock(), shop[1][:400]

    def collect(part: int) -> None:
        own = FeatureStoreRoom(settings)
        updater = ProfileUpdater(settings, room=own, log=log)
        for start in range(part * 10, len(events), 30):
            with lock:  # the stream in memory is no engine for threads
                stored = log.append(events[start : start + 10]).entries
            updater.apply(stored)
        own.online.disconnect()

    threads = [threading.Thread(target=collect, args=(part,)) for part in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ProfileUpdater(settings, room=room, log=log).catch_up(log)
    assert_replayed(room, events, shop[0])
    assert room.item_table(shop[0]).totals.sum() == sum(
        each.item_id in shop[0].row_of for each in events if each.item_id
    )


def test_a_login_shows_in_the_next_answer_and_so_does_its_end(
    settings: Settings, room: FeatureStoreRoom, log: HolesStream
) -> None:
    CATALOG.write(settings.catalog_folder)
    updater = ProfileUpdater(settings, room=room, log=log)

    def send(*events: Event) -> list[int]:
        updater.apply(log.append(list(events)).entries)
        return [state.total for state in room.online_read(["user:ann", "anon:a7"])]

    before = event("1", "click", "kettle", NOON, user_id=None, anonymous_id="a7")
    login = event("3", "identify", None, NOON + 9, anonymous_id="a7")
    assert send(before, event("2", "view", "saw", NOON + 1)) == [1, 1]
    assert send(login) == [2, 1]
    assert send(login) == [2, 1]
    assert send(event("4", "identify", None, NOON + 10, anonymous_id="a7")) == [2, 1]
    assert send(event("5", "unlink", None, NOON + 11, anonymous_id="a7")) == [1, 1]
    assert room.applied() != BEGINNING
