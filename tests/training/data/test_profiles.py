"""A profile is asked for once, whoever asks for it again."""

from collections.abc import Sequence

import numpy as np

from tailorbird.features.profile.state import UserState
from training.data.profiles import KnownProfiles


def test_known_profiles_ask_for_each_pair_once_and_keep_the_order() -> None:
    asked: list[tuple[str, float]] = []

    class Source:
        def states_at(self, user_keys: Sequence[str], instants: np.ndarray) -> list[UserState]:
            asked.extend(zip(user_keys, instants.tolist(), strict=True))
            return [UserState.empty(f"{user}@{now:g}") for user, now in zip(user_keys, instants, strict=True)]

    known = KnownProfiles(Source())
    pairs = [("b", 2.0), ("a", 1.0), ("b", 2.0), ("b", 3.0)]
    for _ in range(2):
        states = known.states_at([user for user, _ in pairs], np.array([now for _, now in pairs]))
        assert [state.user_key for state in states] == ["b@2", "a@1", "b@2", "b@3"]
    assert sorted(asked) == [("a", 1.0), ("b", 2.0), ("b", 3.0)]
