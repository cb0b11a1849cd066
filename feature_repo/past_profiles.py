"""Profiles of the past through Feast's offline store: made for the instants asked, for training."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from feature_repo.definitions import USER_KEY
from feature_repo.layout import USER_VIEW, require_applied
from feature_repo.store import FeatureStoreRoom
from tailorbird.errors import TailorbirdError
from tailorbird.features.profile.merge import with_linked
from tailorbird.features.profile.state import UserState
from tailorbird.features.table import STORED_USER
from tailorbird.settings import Settings


class FeastProfiles:
    """A :class:`~tailorbird.features.profile.source.ProfileSource` through ``get_historical_features``.

    Rows that are missing are made first, by one pass over the events of the people asked: ask for many at once.
    """

    def __init__(self, settings: Settings, *, rows_at_once: int = 20_000) -> None:
        self._room = FeatureStoreRoom(settings)
        self._rows_at_once = rows_at_once

    def states_at(self, user_keys: Sequence[str], instants: np.ndarray) -> list[UserState]:
        """See ProfileSource. Raises TailorbirdError where features were never built or the join loses rows."""
        settings = self._room.settings
        require_applied(settings)

        def fetch(places: Sequence[int], keys: Sequence[str]) -> list[UserState]:
            return self._parts_at(keys, np.asarray(instants)[list(places)])

        parts = self._parts_at(user_keys, np.asarray(instants))
        return with_linked(parts, fetch, length=settings.history_length)

    def _parts_at(self, user_keys: Sequence[str], instants: np.ndarray) -> list[UserState]:
        """What was done under each key itself."""
        if not len(user_keys):
            return []
        micros = np.rint(np.asarray(instants, np.float64) * 1e6).astype(np.int64)
        self._room.rows.ensure(user_keys, micros)
        states: list[UserState] = []
        for start in range(0, len(micros), self._rows_at_once):
            end = start + self._rows_at_once
            states += self._chunk(list(user_keys[start:end]), micros[start:end])
        return states

    def _chunk(self, user_keys: list[str], micros: np.ndarray) -> list[UserState]:
        clock = pd.DatetimeIndex(micros.view("M8[us]"), tz="UTC")
        entities = pd.DataFrame({USER_KEY: user_keys, "event_timestamp": clock})
        job = self._room.feast.get_historical_features(
            entity_df=entities, features=[f"{USER_VIEW}:{feature.name}" for feature in STORED_USER]
        )
        table = job.to_arrow()
        if len(table) != len(user_keys):
            raise TailorbirdError(
                f"the offline store answered {len(table)} rows for {len(user_keys)} asked",
                remedy="make the offline rows anew with `tailorbird features --force`",
            )
        if table[USER_KEY].to_pylist() != user_keys:
            raise TailorbirdError(
                "the offline store answered in another order than asked", remedy="report this as a defect"
            )
        return _states(user_keys, table)


def _states(user_keys: list[str], table: pa.Table) -> list[UserState]:
    rows = table.select([feature.name for feature in STORED_USER]).to_pylist()
    return [UserState.from_row(key, row) for key, row in zip(user_keys, rows, strict=True)]
