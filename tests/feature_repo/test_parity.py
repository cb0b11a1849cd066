"""One truth: replaying the log, Feast's offline store and Feast's online store give the same features."""

import numpy as np

from feature_repo.past_profiles import FeastProfiles
from feature_repo.store import FeatureStoreRoom
from feature_repo.updater.updater import ProfileUpdater
from tailorbird.catalog.catalog import Catalog
from tailorbird.events.schema import Event
from tailorbird.features.profile.replay import ReplayProfiles
from tailorbird.features.profile.state import UserState
from tailorbird.features.table import STORED_USER
from tailorbird.features.vectors.cross import cross_matrix
from tailorbird.features.vectors.item import item_matrix
from tailorbird.features.vectors.user import user_vector
from tailorbird.settings import Settings
from tailorbird.streams.factory import compact_stream
from tailorbird.streams.scan import read_log
from tailorbird.streams.stream import Stream
from tests.features.toy import DAY, NOON, item_table
from tests.proving import tries

MOMENTS, USERS_EACH = tries(20, 40), tries(20, 30)


def assert_same(states: list[UserState], others: list[UserState]) -> None:
    assert [s.user_key for s in states] == [o.user_key for o in others]
    for state, other in zip(states, others, strict=True):
        assert state.total == other.total
        assert state.history.tobytes() == other.history.tobytes()
        assert (state.first_seen, state.last_seen) == (other.first_seen, other.last_seen)
        assert state.affinity_keys.tolist() == other.affinity_keys.tolist()
        np.testing.assert_allclose(state.sums, other.sums, rtol=0, atol=1e-6)
        np.testing.assert_allclose(state.affinity, other.affinity, rtol=0, atol=1e-6)


def test_replay_offline_and_online_agree_on_random_pairs(
    settings: Settings, room: FeatureStoreRoom, log: Stream[Event], shop: tuple[Catalog, list[Event]]
) -> None:
    catalog, events = shop
    rng = np.random.default_rng(5)
    moments = np.sort(rng.uniform(NOON, NOON + 33 * DAY, MOMENTS))
    names = [*sorted({event.user_key for event in events}), "nobody"]
    updater = ProfileUpdater(settings, room=room, log=log)
    asked: list[str] = []
    online: list[UserState] = []
    waiting = list(events)
    late = 0
    for moment in moments:
        happened = [event for event in waiting if event.received_time <= moment]
        waiting = [event for event in waiting if event.received_time > moment]
        late += deliver(updater, log, happened, rng)
        users = rng.choice(names, USERS_EACH, replace=False).tolist()
        online += room.online_read(users)
        asked += users
    instants = np.repeat(moments, USERS_EACH)
    assert late > 200

    compact_stream(log)
    frame = read_log(settings)
    offline = FeastProfiles(settings, rows_at_once=500).states_at(asked, instants)
    replay = ReplayProfiles.of_frame(frame, catalog, length=settings.history_length).states_at(
        asked, instants
    )
    assert sum(state.total == 0 for state in replay) < len(asked) / 4
    assert max(len(state.history) for state in replay) == settings.history_length
    assert_same(online, replay)
    assert_same(offline, replay)

    table = item_table(catalog, frame, NOON + 40 * DAY)
    rows = np.arange(len(catalog))
    for now, one, two, three in zip(instants.tolist(), replay, offline, online, strict=True):
        vectors = [user_vector(state, now=now) for state in (one, two, three)]
        crosses = [cross_matrix(state, table, rows, now=now) for state in (one, two, three)]
        for other in (1, 2):
            np.testing.assert_allclose(vectors[other], vectors[0], rtol=0, atol=1e-6)
            np.testing.assert_allclose(crosses[other], crosses[0], rtol=0, atol=1e-6)

    deliver(updater, log, waiting, rng)
    everything = item_table(catalog, read_log(settings), NOON + 40 * DAY)
    np.testing.assert_allclose(
        item_matrix(room.item_table(catalog), now=NOON + 41 * DAY),
        item_matrix(everything, now=NOON + 41 * DAY),
        rtol=0,
        atol=1e-6,
    )


def deliver(
    updater: ProfileUpdater, log: Stream[Event], events: list[Event], rng: np.random.Generator
) -> int:
    """Send events shuffled, in batches, some twice, some batches late to the profiles; returns how many came late."""
    order = rng.permutation(len(events)).tolist()
    times = [events[n].event_time for n in order]
    late = sum(time < max(times[:place]) for place, time in enumerate(times) if place)
    start = 0
    while start < len(order):
        size = int(rng.integers(1, 12))
        batch = [events[n] for n in order[start : start + size]]
        again = [events[n] for n in order[:start] if rng.random() < 0.02]
        appended = log.append(batch + again)
        assert appended.duplicates == len(again)
        entries = appended.entries
        if rng.random() < 0.8:  # else another process died before it applied them
            updater.apply(entries)
        if rng.random() < 0.1:
            updater.apply(entries)
        start += size
    updater.catch_up(log)
    return late


def test_feasts_own_front_reads_the_same_rows(
    settings: Settings, room: FeatureStoreRoom, log: Stream[Event], shop: tuple[Catalog, list[Event]]
) -> None:
    events = shop[1]
    log.append(events[:400])
    ProfileUpdater(settings, room=room, log=log).catch_up(log)
    users = sorted({event.user_key for event in events[:400]})[:7]
    answer = room.feast.get_online_features(
        features=[f"user_profile:{feature.name}" for feature in STORED_USER],
        entity_rows=[{"user_key": user} for user in users],
    ).to_dict()
    for place, state in enumerate(room.online_read(users)):
        row = state.to_row()
        for name, kept in row.items():
            np.testing.assert_array_equal(kept, answer[name][place])
        assert state.total > 0
