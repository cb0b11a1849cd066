"""Where profiles come from when a model is fitted or measured: Feast's offline store, each of them asked for once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from feature_repo.past_profiles import FeastProfiles
from tailorbird.evaluation.cases import Cases
from tailorbird.features.profile.source import ProfileSource
from tailorbird.features.profile.state import UserState
from tailorbird.settings import Settings


@dataclass(frozen=True)
class OfflineProfiles:
    """Feast's offline store, opened when first asked: a plan that knows every profile never opens it."""

    settings: Settings

    def states_at(self, user_keys: Sequence[str], instants: np.ndarray) -> list[UserState]:
        """See ProfileSource."""
        return FeastProfiles(self.settings).states_at(user_keys, instants)


class KnownProfiles:
    """A profile source that asks another one once per (user, instant) and remembers the answer."""

    def __init__(self, source: ProfileSource) -> None:
        self._source = source
        self._known: dict[tuple[str, float], UserState] = {}

    def states_at(self, user_keys: Sequence[str], instants: np.ndarray) -> list[UserState]:
        """See ProfileSource."""
        wanted = list(zip(map(str, user_keys), map(float, instants), strict=True))
        fresh = list(dict.fromkeys(key for key in wanted if key not in self._known))
        if fresh:
            states = self._source.states_at([user for user, _ in fresh], np.array([now for _, now in fresh]))
            self._known.update(zip(fresh, states, strict=True))
        return [self._known[key] for key in wanted]

    def warm(self, cases: Cases) -> None:
        """Ask for every question of ``cases`` at once."""
        self.states_at(list(cases.known.user_ids[cases.users]), cases.now)
