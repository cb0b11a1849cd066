"""The training set holds what speaks for an item, in one numbering, and is cut in time with nothing leaking back."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tailorbird.catalog.catalog import Catalog
from tailorbird.errors import TailorbirdError
from tailorbird.events.columns import EventColumns
from tailorbird.events.rows import table_of_frame
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_events
from tailorbird.streams.scan import read_log
from tests.segments.moves import moved
from tests.training.toy import WALK, catalog, walks
from training.data.dataset import (
    Dataset,
    case_names,
    interactions_of,
    limited,
    load_dataset,
    split,
)
from training.data.training_set import training_set


@pytest.fixture
def dataset(toy: Settings) -> Dataset:
    return load_dataset(toy)


def test_only_events_that_speak_for_a_known_item_are_interactions() -> None:
    events = walks(4).assign(user_key=lambda frame: "user:" + frame["user_id"])
    events.loc[0, "type"] = "hide"
    events.loc[1, "item_id"] = "no such item"
    events.loc[2, "type"] = "purchase"
    found = interactions_of(EventColumns.of_frame(events), catalog())
    assert len(found) == 4 * WALK - 2
    assert sorted(found.user_ids) == ["user:u0", "user:u1", "user:u2", "user:u3"]
    assert found.weights.max() == 5.0
    assert np.count_nonzero(found.weights == 5.0) == 1


def test_an_empty_or_half_made_workspace_says_which_command_is_missing(tmp_path: Path, toy: Settings) -> None:
    nowhere = load_settings(home=tmp_path, workspace="nowhere")
    with pytest.raises(TailorbirdError, match="tailorbird ingest"):
        training_set(nowhere)
    Catalog.read(toy.catalog_folder).write(nowhere.catalog_folder)
    with pytest.raises(TailorbirdError, match="tailorbird features"):
        training_set(nowhere)
    with pytest.raises(TailorbirdError, match="50 are needed"):
        load_dataset(nowhere)


def test_what_was_stored_since_the_features_were_built_is_part_of_the_training_set(own_toy: Settings) -> None:
    before = training_set(own_toy)
    with open_events(own_toy) as log:
        log.append_table(table_of_frame(walks(5, seed=9, first=500)))
    assert len(training_set(own_toy).events) == len(before.events) + 5 * WALK


def test_nothing_from_the_test_part_is_in_the_training_part(dataset: Dataset) -> None:
    protocol = split(dataset, most_cases=10_000)
    for part in (protocol.validation, protocol.test):
        assert part.fit.times.max() < part.cases.now.min()
    assert protocol.validation.cases.now.max() <= protocol.test.until + 1.0
    assert not protocol.test.cases.repeats.any()


def test_cases_are_chosen_by_name_and_not_by_place(dataset: Dataset) -> None:
    """The same cases for the same data; more data keeps the chosen ones that are still there first in line."""
    cases = split(dataset, most_cases=10_000).test.cases
    few = limited(cases, 30, catalog=dataset.catalog)
    names = case_names(cases, catalog=dataset.catalog)
    assert len(few) == 30
    assert len(np.unique(names)) == len(names)
    assert set(case_names(few, catalog=dataset.catalog)) == set(np.sort(names)[:30])
    more = limited(cases, 40, catalog=dataset.catalog)
    assert set(case_names(few, catalog=dataset.catalog)) < set(case_names(more, catalog=dataset.catalog))


def test_names_of_cases_survive_another_order_of_the_catalogue(dataset: Dataset) -> None:
    turned = Catalog.from_frame(dataset.catalog.items.iloc[::-1])
    names = []
    for items in (dataset.catalog, turned):
        interactions = interactions_of(dataset.events, items)
        own = Dataset("t", "", items, dataset.users, dataset.events, interactions)
        names.append(case_names(split(own, most_cases=10_000).test.cases, catalog=items))
    assert set(names[0]) == set(names[1])


def test_the_identity_changes_with_any_event_item_or_user_and_with_no_order(
    dataset: Dataset, toy: Settings
) -> None:
    def digest(**changes: object) -> str:
        from dataclasses import replace

        return replace(dataset, **changes).identity.digest  # type: ignore[arg-type]

    log = read_log(toy)
    same = digest(events=EventColumns.of_frame(log.sample(frac=1.0, random_state=0)))
    log.loc[3, "item_id"] = "tea-0"
    events = EventColumns.of_frame(log)
    items = Catalog(dataset.catalog.items.assign(price=1.0))
    people = type(dataset.users)(dataset.users.users.assign(age=1.0))
    assert same == dataset.identity.digest
    assert len({same, digest(events=events), digest(catalog=items), digest(users=people)}) == 4


def test_times_keep_their_microseconds(dataset: Dataset) -> None:
    stamp = pd.Timestamp("2026-01-02T03:04:05.678901Z")
    frame = pd.Series([stamp]).astype("datetime64[us, UTC]")
    from training.data.dataset import epoch_seconds

    assert epoch_seconds(frame)[0] == pytest.approx(stamp.timestamp(), abs=1e-6)
    assert epoch_seconds(frame.astype("datetime64[ms, UTC]"))[0] == pytest.approx(stamp.timestamp(), abs=1e-3)


def test_moves_are_no_part_of_the_training_set(own_toy: Settings) -> None:
    before = training_set(own_toy)
    moves = [
        moved(user_id=f"u{n}", cause=f"m{n}-3", at=before.events.times.max() / 1e6 + 9).to_event()
        for n in range(9)
    ]
    with open_events(own_toy) as log:
        log.append(moves)
    after = training_set(own_toy)
    assert after.identity == before.identity
    assert after.events.type_names.tolist() == before.events.type_names.tolist()
    np.testing.assert_array_equal(after.interactions.times, before.interactions.times)
