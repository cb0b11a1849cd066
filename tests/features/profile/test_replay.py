"""Replaying the log: the profile at an instant is the fold of what happened strictly before it."""

import numpy as np
import pandas as pd
import pytest

from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.profile.folding import fold
from tailorbird.features.profile.replay import ReplayProfiles
from tailorbird.features.profile.state import UserState
from tests.features.profile.test_state import assert_same
from tests.features.toy import CATALOG, DAY, FACTS, NOON, event, frame, random_shop


def test_an_event_at_the_instant_itself_has_not_happened_yet() -> None:
    replay = ReplayProfiles.of_frame(frame([event("1", "view", "kettle", NOON)]), CATALOG)
    at, after = replay.states_at(["user:ann", "user:ann"], np.array([NOON, NOON + 1e-6]))
    assert (at.total, after.total) == (0, 1)


def test_unknown_users_and_empty_logs_give_empty_profiles() -> None:
    assert ReplayProfiles.of_frame(frame([]), CATALOG).states_at(["bob"], np.array([NOON]))[0].total == 0


@pytest.mark.parametrize("seed", range(3))
def test_replay_is_the_fold_of_the_past(seed: int) -> None:
    catalog, events = random_shop(users=9, items=12, events=700, days=12, seed=seed)
    facts = ItemFacts.of(catalog)
    rng = np.random.default_rng(seed)
    users = sorted({e.user_key for e in events})
    asked = rng.choice(users, 60).tolist()
    instants = rng.uniform(NOON - DAY, NOON + 14 * DAY, 60)
    log = frame(events)
    doubled = pd.concat([log, log.sample(50, random_state=seed)], ignore_index=True)
    for user, instant, state in zip(
        asked,
        instants,
        ReplayProfiles.of_frame(doubled, catalog, length=32).states_at(asked, instants),
        strict=True,
    ):
        past = [
            e for e in events if e.user_key == user and e.event_time < instant and e.received_time <= instant
        ]
        assert_same(state, fold(UserState.empty(user), past, facts, length=32))
        assert state.user_key == user


def test_the_toy_day_has_a_known_answer() -> None:
    log = [event(str(n), "click", "kettle", NOON + n * DAY) for n in range(3)]
    (state,) = ReplayProfiles.of_frame(frame(log), CATALOG).states_at(
        ["user:ann"], np.array([NOON + 1.5 * DAY])
    )
    assert_same(state, fold(UserState.empty("user:ann"), log[:2], FACTS))
