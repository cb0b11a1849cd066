"""Finding segments in a toy world whose groups are obvious, and in crowds that have none or hardly anybody."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.features.demographics import Demographics
from tailorbird.features.profile.state import UserState
from tailorbird.segments.finding.finding import Crowd, Found, find, model_of
from tailorbird.segments.model import NOT_KNOWN, SegmentModel, weights_of
from tests.segments.toy import DAY_US, START, crowd, history

SIZES = range(2, 6)


@pytest.fixture(scope="module")
def world() -> tuple[list[np.ndarray], np.ndarray, Found]:
    histories, kinds = crowd()
    found = find(Crowd.of(histories, np.full((len(kinds), 3), np.nan)), sizes=SIZES)
    return histories, kinds, found


@pytest.fixture(scope="module")
def model(world: tuple[list[np.ndarray], np.ndarray, Found]) -> SegmentModel:
    found = world[2]
    assert found.proposed is not None
    return model_of(found, found.proposed)


def state_of(events: np.ndarray) -> UserState:
    from dataclasses import replace

    return replace(UserState.empty("user:ann"), history=events, total=len(events))


def test_the_planted_groups_are_proposed_without_their_number(
    world: tuple[list[np.ndarray], np.ndarray, Found], model: SegmentModel
) -> None:
    histories, kinds, found = world
    assert found.proposed is not None
    assert found.proposed.groups == 3
    labels, _ = model.labels(histories)
    assert adjusted_rand_score(kinds, labels) > 0.95


def test_hardly_anybody_is_assigned_elsewhere_than_the_grouping_puts_them(
    world: tuple[list[np.ndarray], np.ndarray, Found], model: SegmentModel
) -> None:
    found = world[2]
    assert found.proposed is not None
    labels, _ = model.labels(found.crowd.histories)
    grouped = found.proposed.gaussians.labels(found.coordinates(found.proposed))
    assert (labels == grouped).mean() > 0.95
    assert model.figures["extension"] > 0.95
    assert model.figures["agreement"] > 0.95


def test_segments_are_named_by_what_sets_them_apart(model: SegmentModel) -> None:
    assert len(set(model.keys)) == 3
    said = " | ".join(segment.name for segment in model.segments)
    assert "night" in said or "phone" in said
    assert all(segment.precision > 0.9 and segment.recall > 0.9 for segment in model.segments)


def test_who_behaves_otherwise_now_moves_and_the_margin_decides(model: SegmentModel) -> None:
    rng = np.random.default_rng(7)
    before = history(0, rng, visits=12)
    after = history(1, rng, visits=3, start=START + 12 * DAY_US)
    settled = model.assign(state_of(before))
    story = np.concatenate([before, after])
    labels = [model.assign(state_of(story[:end])).key for end in range(len(before), len(story) + 1)]
    assert labels[0] == settled.key
    assert labels[-1] != settled.key
    runs = [key for key, _ in itertools.groupby(labels)]
    assert len(runs) == len(set(runs)), "nobody goes back and forth"
    stubborn = SegmentModel(model.segments, weights_of({**model.weights._asdict(), "margin": np.inf}))
    assert stubborn.assign(state_of(story)).key == stubborn.assign(state_of(story)).incumbent


def test_of_whom_little_was_seen_nothing_is_said(model: SegmentModel) -> None:
    assigned = model.assign(state_of(history(0, np.random.default_rng(1))[:3]))
    assert (assigned.key, assigned.memberships) == (NOT_KNOWN, {})
    assert model.assign(UserState.empty("user:ann")).key == NOT_KNOWN


def test_a_model_comes_back_from_its_folder(model: SegmentModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    again = SegmentModel.load(tmp_path)
    state = state_of(history(2, np.random.default_rng(3)))
    assert again.assign(state) == model.assign(state)
    assert (again.segments, again.method) == (model.segments, model.method)
    (tmp_path / "segments.npz").write_bytes(b"PK")
    with pytest.raises(TailorbirdError, match="no segment model"):
        SegmentModel.load(tmp_path)


def test_memberships_are_shares(model: SegmentModel) -> None:
    assigned = model.assign(state_of(history(1, np.random.default_rng(2))), Demographics(age=30.0))
    assert sum(assigned.memberships.values()) == pytest.approx(1.0)
    assert assigned.memberships[assigned.key] == max(assigned.memberships.values())


def test_three_people_are_too_few() -> None:
    histories, _ = crowd(3)
    with pytest.raises(UsageError, match="of 3 people 3 did enough"):
        Crowd.of(histories, np.full((3, 3), np.nan))


def test_a_crowd_of_one_kind_gets_no_proposal() -> None:
    rng = np.random.default_rng(0)
    found = find(Crowd.of([history(1, rng) for _ in range(120)], np.full((120, 3), np.nan)), sizes=SIZES)
    assert found.proposed is None


def test_people_who_are_all_alike_have_no_traits_to_tell_them_by() -> None:
    same = history(1, np.random.default_rng(0))
    found = find(Crowd.of([same] * 60, np.full((60, 3), np.nan)), sizes=SIZES)
    assert (found.proposed, len(found.scaling.chosen)) == (None, 0)
    assert set(found.scaling.dropped.values()) >= {"all alike"}
