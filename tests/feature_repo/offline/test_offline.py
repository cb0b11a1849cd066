"""Profiles of the past: every row answered, made once for the instants asked, nothing from the future."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from feature_repo.command import build_features
from feature_repo.layout import USER_VIEW, layout_file, offline_folder
from feature_repo.past_profiles import FeastProfiles
from feature_repo.store import FeatureStoreRoom
from tailorbird.errors import TailorbirdError
from tailorbird.events.schema import Event
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.stream import Stream
from tests.features.toy import CATALOG, DAY, NOON, event
from tests.segments.moves import moved

LOG = [event(str(n), "click", "kettle", NOON + n * DAY) for n in range(3)]
LATER = NOON + 9 * DAY


@pytest.fixture
def asked(settings: Settings, room: FeatureStoreRoom, log: Stream[Event]) -> FeastProfiles:
    """The offline store of a workspace with three clicks of ann, one a day."""
    CATALOG.write(settings.catalog_folder)
    log.append(LOG)
    return FeastProfiles(settings, rows_at_once=2)


def totals(profiles: FeastProfiles, users: Sequence[str], instants: Sequence[float]) -> list[int]:
    return [state.total for state in profiles.states_at(users, np.array(instants))]


def written(settings: Settings) -> int:
    """How many rows stand in the files."""
    parts = offline_folder(settings.feature_folder, USER_VIEW).glob("*.parquet")
    return sum(pq.read_metadata(part).num_rows for part in parts)


def test_strictly_before_and_every_row_in_its_place(asked: FeastProfiles) -> None:
    instants = np.array([LATER, NOON, NOON + 1e-6, NOON + DAY, NOON - DAY, LATER])
    users = ["user:ann"] * 5 + ["user:bob"]
    states = asked.states_at(users, instants)
    assert [state.total for state in states] == [3, 0, 1, 1, 0, 0]
    assert [state.user_key for state in states] == users


def test_rows_are_made_for_the_instants_asked_and_only_once(settings: Settings, asked: FeastProfiles) -> None:
    assert totals(asked, ["user:ann"] * 5, [NOON + DAY + 1] * 5) == [2] * 5
    assert written(settings) == 1
    rows = FeatureStoreRoom(settings).rows
    micros = np.array([round((NOON + DAY + 1) * 1e6), round(LATER * 1e6)])
    assert rows.ensure(["user:ann", "user:ann"], micros) == 1
    assert rows.ensure(["user:ann", "user:ann"], micros) == 0
    assert len(rows) == written(settings) == 2


def test_nobody_asked_is_nobody_answered(asked: FeastProfiles) -> None:
    assert asked.states_at([], np.zeros(0)) == []


def test_without_applied_definitions_the_remedy_is_named(settings: Settings, asked: FeastProfiles) -> None:
    layout_file(settings.feature_folder).unlink()
    with pytest.raises(TailorbirdError, match="has no features in today's layout") as caught:
        asked.states_at(["user:ann"], np.array([NOON]))
    assert "tailorbird features" in caught.value.remedy


def test_features_that_were_moved_are_applied_anew_and_never_read_elsewhere(
    settings: Settings, asked: FeastProfiles, tmp_path: Path
) -> None:
    instants = np.array([NOON])
    asked.states_at(["user:ann"], instants)
    moved = load_settings(home=tmp_path / "elsewhere", mlruns=settings.mlruns, workspace=settings.workspace)
    settings.home.rename(moved.home)
    with pytest.raises(TailorbirdError, match="in another folder"):
        FeastProfiles(moved).states_at(["user:ann"], instants)
    build_features(moved)
    assert len(FeastProfiles(moved).states_at(["user:ann"], instants)) == 1
    assert not settings.home.exists()


def test_what_was_received_later_is_not_part_of_the_past(
    settings: Settings, asked: FeastProfiles, log: Stream[Event]
) -> None:
    late = replace(event("late", "hide", "saw", NOON + 0.5 * DAY), received_time=NOON + 5 * DAY)
    log.append([late])
    instants = [NOON + DAY + 1, NOON + 5 * DAY - 1, NOON + 5 * DAY, LATER]
    assert totals(asked, ["user:ann"] * 4, instants) == [2, 3, 4, 4]


def test_newer_events_leave_the_rows_of_the_past_as_they_are(
    settings: Settings, asked: FeastProfiles, log: Stream[Event]
) -> None:
    assert totals(asked, ["user:ann"], [NOON + DAY + 1]) == [2]
    before = sorted(offline_folder(settings.feature_folder, USER_VIEW).glob("*.parquet"))
    log.append([event("new", "click", "saw", LATER)])
    assert totals(asked, ["user:ann"] * 2, [NOON + DAY + 1, LATER + 1]) == [2, 4]
    after = sorted(offline_folder(settings.feature_folder, USER_VIEW).glob("*.parquet"))
    assert len(after) == len(before) + 1
    assert set(before) < set(after)


def test_a_move_leaves_every_row_as_it_is(
    settings: Settings, asked: FeastProfiles, log: Stream[Event]
) -> None:
    instants = [NOON + 1, NOON + DAY + 1, LATER]
    assert totals(asked, ["user:ann"] * 3, instants) == [1, 2, 3]
    log.append([moved(user_id="ann", cause="1", at=NOON + DAY).to_event()])
    assert FeatureStoreRoom(settings).rows.refresh() == 0
    assert totals(asked, ["user:ann"] * 4, [*instants, LATER + 1]) == [1, 2, 3, 3]


def test_an_import_that_was_received_earlier_makes_its_rows_anew(
    settings: Settings, asked: FeastProfiles, log: Stream[Event]
) -> None:
    instants = [NOON + 1, NOON + DAY + 1, LATER]
    assert totals(asked, ["user:ann"] * 3, instants) == [1, 2, 3]
    log.append([event("imported", "view", "drill", NOON + 0.5 * DAY)])
    assert FeatureStoreRoom(settings).rows.refresh() == 2
    assert totals(asked, ["user:ann"] * 3, instants) == [1, 3, 4]
    assert written(settings) == 3


def test_a_row_keeps_the_price_of_its_time(
    settings: Settings, asked: FeastProfiles, log: Stream[Event]
) -> None:
    from tailorbird.catalog.catalog import Catalog
    from tailorbird.catalog.patches import patched_items, write_patched

    known = Catalog.read(settings.catalog_folder)
    dearer = patched_items(known, pd.DataFrame({"item_id": ["kettle"], "price": [300.0]}))
    write_patched(known, dearer, settings.catalog_folder, now=NOON + 1.5 * DAY)
    (state,) = asked.states_at(["user:ann"], np.array([LATER]))
    np.testing.assert_allclose(np.expm1(state.history["log_price"]), [30.0, 30.0, 300.0], rtol=1e-6)


def test_another_log_drops_the_rows(settings: Settings, asked: FeastProfiles, log: Stream[Event]) -> None:
    totals(asked, ["user:ann"], [LATER])
    log.close()
    for part in settings.folder.glob("events.db*"):
        part.unlink()
    assert FeatureStoreRoom(settings).rows.refresh() == 1
    assert totals(asked, ["user:ann"], [LATER]) == [0]


def test_many_small_files_become_one(settings: Settings, asked: FeastProfiles) -> None:
    for n in range(20):
        totals(asked, ["user:ann"], [NOON + n])
    assert written(settings) == 20
    assert len(list(offline_folder(settings.feature_folder, USER_VIEW).glob("*.parquet"))) < 16
    assert totals(asked, ["user:ann"] * 20, [NOON + n for n in range(20)]) == [0] + [1] * 19


def test_feast_materializes_the_newest_row_and_online_the_newer_stays(
    settings: Settings, room: FeatureStoreRoom, asked: FeastProfiles
) -> None:
    totals(asked, ["user:ann"] * 2, [NOON + 1, NOON + DAY + 1])
    end = pd.Timestamp(LATER, unit="s", tz="UTC").to_pydatetime()
    begin = pd.Timestamp(0, unit="s", tz="UTC").to_pydatetime()
    room.feast.materialize(begin, end, feature_views=[USER_VIEW])
    assert room.online_read(["user:ann"])[0].total == 2


def test_a_deleted_user_leaves_the_offline_rows_too(
    settings: Settings, room: FeatureStoreRoom, asked: FeastProfiles, log: Stream[Event]
) -> None:
    log.append([event("b", "click", "saw", NOON, user_id="bob")])
    assert totals(asked, ["user:ann", "user:bob"], [LATER, LATER]) == [3, 1]
    assert room.delete_user("user:ann")
    assert written(settings) == 1
    assert not room.delete_user("user:ann")


def test_a_basis_that_is_taken_back_ends_what_was_kept_under_it(
    settings: Settings, asked: FeastProfiles
) -> None:
    assert totals(asked, ["user:ann"], [LATER]) == [3]
    policy, day = settings.folder / "privacy.toml", dt.datetime.fromtimestamp(NOON + 1.5 * DAY, dt.UTC)
    policy.write_text(f"[taken_back]\npersonalization = {day.isoformat()}\n")
    assert totals(asked, ["user:ann"], [LATER]) == [1]
    assert written(settings) == 1
    policy.unlink()
    assert totals(asked, ["user:ann"], [LATER]) == [3]


def test_what_is_too_old_for_its_purpose_is_in_no_row_that_was_kept(
    settings: Settings, asked: FeastProfiles
) -> None:
    assert totals(asked, ["user:ann"], [LATER]) == [3]
    (settings.folder / "privacy.toml").write_text('[retention.purposes]\npersonalization = "1d"\n')
    assert totals(asked, ["user:ann"], [LATER]) == [0]  # they are of years ago
