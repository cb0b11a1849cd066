"""A trial of a study whose recipe may read segments: the plan takes the pinned segments along, and the study is named by them."""

import pickle

import pytest
from ray import cloudpickle

from tailorbird.segments.pinned import Pin, PinnedSegments
from tailorbird.settings import Settings
from tests.training.fit.test_segments import by_price
from tests.training.toy import RECIPE
from training.data.training_set import training_set
from training.fit.plan import Plan
from training.tuning.space import load_space
from training.tuning.trial import run_trial
from training.tuning.tune import Job

PINNED = PinnedSegments(Pin("test.segments", "1", "abc"), by_price())


def job(settings: Settings, pinned: PinnedSegments | None) -> Job:
    space = load_space("quick", RECIPE)
    return Job(training_set(settings), RECIPE, space, 2, 1, "none", 0, pinned=pinned)


def test_a_trial_in_another_process_fits_with_the_pinned_segments(own_toy: Settings) -> None:
    plan = Plan.of(training_set(own_toy), RECIPE, settings=own_toy, seed=0, most_cases=200, pinned=PINNED)
    plan = plan.warmed(plan.protocol.validation)
    there: Plan = pickle.loads(cloudpickle.dumps(plan))  # as Ray sends it
    values = [
        run_trial(each, {"ranker.segments": reads}, lambda step, value: None).value
        for each, reads in ((plan, True), (there, True), (there, False))
    ]
    assert values[0] == pytest.approx(values[1], abs=1e-9)
    assert all(value is not None and value > 0.3 for value in values)
    assert there.pinned is not None
    assert there.pinned.pin == PINNED.pin


def test_other_segments_are_another_study(own_toy: Settings) -> None:
    other = PinnedSegments(Pin("test.segments", "2", "def"), PINNED.model)
    named = [job(own_toy, pinned).study for pinned in (None, PINNED, other, PINNED)]
    assert len(set(named)) == 3
    assert named[1] == named[3]
