"""An event of the past counts for the segment that its person was in then: what came later, or was heard of later, says nothing."""

from dataclasses import replace

import numpy as np
import pytest

from tailorbird.events.columns import EventColumns
from tailorbird.events.schema import Event
from tailorbird.features.demographics import NOBODY
from tailorbird.features.profile.replay import ReplayProfiles
from tailorbird.segments.past import with_groups
from tailorbird.segments.pinned import Pin, PinnedSegments
from tests.features.toy import DAY, NOON, frame, random_shop
from tests.segments.carters import carters
from training.data.dataset import interactions_of

PINNED = PinnedSegments(Pin("toy.segments", "1", ""), carters())


def happened(seed: int) -> tuple[object, list[Event]]:
    """A week with late arrivals, in which an anonymous visitor becomes known half-way."""
    catalog, events = random_shop(users=9, items=12, events=900, days=7, seed=seed)
    login = Event(
        "login", "identify", NOON + 3 * DAY, NOON + 3 * DAY, user_id="u1", anonymous_id="a4", properties={}
    )
    return catalog, [*events, login]


def log_of(events: list[Event]):
    table = frame(events)
    return table.assign(context=None)


def grouped(events: list[Event], catalog, *, asked: list[Event] | None = None):
    interactions = interactions_of(EventColumns.of_frame(log_of(asked or events)), catalog, taste="presence")
    profiles = ReplayProfiles.of_frame(log_of(events), catalog, length=32)
    return with_groups(interactions, PINNED.model, profiles=profiles, people={}), profiles


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_label_of_the_profile_at_each_instant(seed: int) -> None:
    catalog, events = happened(seed)
    found, profiles = grouped(events, catalog)
    keys = [str(key) for key in found.user_ids[found.users]]
    states = profiles.states_at(keys, found.times)
    assert found.groups.tolist() == [PINNED.placed(state, NOBODY).label for state in states]
    assert {-1, 0, 1} <= set(found.groups.tolist())
    assert any(state.links.keys for state in states)


def test_nothing_that_comes_later_changes_it() -> None:
    catalog, events = happened(7)
    until = NOON + 4 * DAY
    early = [each for each in events if each.received_time <= until]
    later = [
        replace(each, message_id=f"later-{n}", type="add_to_cart", received_time=until + 1.0)
        for n, each in enumerate(early)
        if each.type == "view"
    ]
    before, _ = grouped(early, catalog)
    after, _ = grouped([*early, *later], catalog, asked=early)
    assert later
    assert before.groups.tolist() == after.groups.tolist()


def test_groups_stay_with_their_rows() -> None:
    catalog, events = happened(2)
    found, _ = grouped(events, catalog)
    some = found.times > np.median(found.times)
    assert found.where(some).groups.tolist() == found.groups[some].tolist()
