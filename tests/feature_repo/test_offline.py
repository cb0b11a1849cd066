"""Point-in-time joins: the newest snapshot strictly before each instant, every row answered, nothing from the future."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from feature_repo.layout import USER_VIEW, snapshot_file
from feature_repo.offline import FeastProfiles
from feature_repo.store import FeatureStoreRoom
from tailorbird.errors import TailorbirdError
from tailorbird.settings import Settings
from tests.features.toy import CATALOG, DAY, NOON, event, frame

LOG = frame([event(str(n), "click", "kettle", NOON + n * DAY) for n in range(3)])


def test_strictly_before_and_every_row_in_its_place(settings: Settings, room: FeatureStoreRoom) -> None:
    room.build(LOG, CATALOG)
    instants = np.array([NOON + 9 * DAY, NOON, NOON + 1e-6, NOON + DAY, NOON - DAY, NOON + 9 * DAY])
    users = ["user:ann"] * 5 + ["user:bob"]
    states = FeastProfiles(settings).states_at(users, instants)
    assert [state.total for state in states] == [3, 0, 1, 1, 0, 0]
    assert [state.user_key for state in states] == users


def test_doubled_questions_are_answered_twice(settings: Settings, room: FeatureStoreRoom) -> None:
    room.build(LOG, CATALOG)
    states = FeastProfiles(settings, rows_at_once=2).states_at(["user:ann"] * 5, np.full(5, NOON + DAY + 1))
    assert [state.total for state in states] == [2] * 5


def test_nobody_asked_is_nobody_answered(settings: Settings, room: FeatureStoreRoom) -> None:
    room.build(LOG, CATALOG)
    assert FeastProfiles(settings).states_at([], np.zeros(0)) == []


def test_missing_snapshots_name_the_remedy(settings: Settings, room: FeatureStoreRoom) -> None:
    with pytest.raises(TailorbirdError, match="no offline snapshots"):
        FeastProfiles(settings).states_at(["user:ann"], np.array([NOON]))


def test_an_empty_log_builds_and_materializes(settings: Settings, room: FeatureStoreRoom) -> None:
    built = room.build(frame([]), CATALOG)
    assert (built.users, built.user_rows, built.items, built.item_rows) == (0, 0, 5, 5)
    assert room.materialize() == 0
    assert FeastProfiles(settings).states_at(["user:ann"], np.array([NOON]))[0].total == 0
    assert room.item_table(CATALOG).totals.tolist() == [0] * 5


def test_events_of_one_instant_leave_one_snapshot(settings: Settings, room: FeatureStoreRoom) -> None:
    room.build(frame([event(str(n), "click", "kettle", NOON) for n in range(4)]), CATALOG)
    (state,) = FeastProfiles(settings).states_at(["user:ann"], np.array([NOON + 1]))
    assert state.total == 4
    assert pq.read_metadata(snapshot_file(settings.feature_folder, USER_VIEW)).num_rows == 1


def test_feast_joins_both_views_and_knows_ttl(settings: Settings, room: FeatureStoreRoom) -> None:
    room.build(LOG, CATALOG)
    asked = pd.DataFrame(
        {
            "user_key": ["user:ann", "user:ann"],
            "item_id": ["kettle", "saw"],
            "event_timestamp": pd.to_datetime([NOON + 1, NOON + 40 * DAY], unit="s", utc=True),
        }
    )
    names = ["user_profile:total", "item_profile:item_total", "item_profile:category"]
    job = room.feast.get_historical_features(entity_df=asked, features=names, full_feature_names=True)
    answer = job.to_df()
    assert answer["user_profile__total"].tolist() == [1, 3]
    assert answer["item_profile__item_total"].tolist() == [1, 0]
    assert answer["item_profile__category"].tolist() == ["kitchen", "tools"]
    view = room.definitions.user_profile
    view.ttl = timedelta(days=30)
    room.feast.apply([view])
    assert room.feast.get_historical_features(entity_df=asked, features=names).to_df()[
        "total"
    ].isna().tolist() == [
        False,
        True,
    ]


def test_an_interrupted_build_leaves_the_snapshots_of_before(
    settings: Settings, room: FeatureStoreRoom
) -> None:
    room.build(LOG, CATALOG)
    file = snapshot_file(settings.feature_folder, USER_VIEW)
    before = file.read_bytes()

    def interrupt(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        room.build(LOG.iloc[:1], CATALOG, on_events=interrupt)
    assert file.read_bytes() == before
    assert [part.name for part in file.parent.iterdir() if part.suffix == ".partial"] == []


def test_a_deleted_user_leaves_the_snapshots_too(settings: Settings, room: FeatureStoreRoom) -> None:
    bob = event("b", "click", "saw", NOON, user_id="bob")
    room.build(pd.concat([LOG, frame([bob])], ignore_index=True), CATALOG)
    assert room.delete_user("user:ann")
    ann, other = FeastProfiles(settings).states_at(["user:ann", "user:bob"], np.full(2, NOON + 9 * DAY))
    assert (ann.total, other.total) == (0, 1)
