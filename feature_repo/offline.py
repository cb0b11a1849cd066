"""Profiles of the past through Feast's offline store: point-in-time correct, for training."""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from feature_repo.definitions import USER_KEY
from feature_repo.layout import USER_VIEW, snapshot_file
from feature_repo.store import FeatureStoreRoom
from tailorbird.errors import TailorbirdError
from tailorbird.features.keysets import KeySet
from tailorbird.features.links import Links
from tailorbird.features.records import RECORD
from tailorbird.features.state import UserState
from tailorbird.features.table import STORED_USER
from tailorbird.settings import Settings
from tailorbird.streams.position import Position


class FeastProfiles:
    """A :class:`~tailorbird.features.profiles.ProfileSource` through ``get_historical_features``."""

    def __init__(self, settings: Settings, *, rows_at_once: int = 20_000) -> None:
        self._room = FeatureStoreRoom(settings)
        self._rows_at_once = rows_at_once

    def states_at(self, user_keys: Sequence[str], instants: np.ndarray) -> list[UserState]:
        """See ProfileSource. Raises TailorbirdError where the snapshots are missing or the join loses rows."""
        file = snapshot_file(self._room.folder, USER_VIEW)
        if not file.exists():
            raise TailorbirdError(f"no offline snapshots at {file}", remedy="run `tailorbird features`")
        # Snapshots carry the time of their last event and Feast joins at or before: one microsecond less is strictly before.
        cuts = np.rint(np.asarray(instants, np.float64) * 1e6).astype(np.int64) - 1
        states: list[UserState] = []
        for start in range(0, len(cuts), self._rows_at_once):
            end = start + self._rows_at_once
            states += self._chunk(list(user_keys[start:end]), cuts[start:end])
        return states

    def _chunk(self, user_keys: list[str], cuts: np.ndarray) -> list[UserState]:
        clock = pd.DatetimeIndex(cuts.view("M8[us]"), tz="UTC")
        entities = pd.DataFrame({USER_KEY: user_keys, "event_timestamp": clock})
        job = self._room.feast.get_historical_features(
            entity_df=entities, features=[f"{USER_VIEW}:{feature.name}" for feature in STORED_USER]
        )
        table = job.to_arrow()
        if len(table) != len(user_keys):
            raise TailorbirdError(
                f"the offline store answered {len(table)} rows for {len(user_keys)} asked",
                remedy="check for doubled snapshots with `tailorbird features --force`",
            )
        if table[USER_KEY].to_pylist() != user_keys:
            raise TailorbirdError(
                "the offline store answered in another order than asked", remedy="report this as a defect"
            )
        return _states(user_keys, table)


def _states(user_keys: list[str], table: pa.Table) -> list[UserState]:
    table = table.combine_chunks()
    plain = {name: table[name].to_pylist() for name in ("first_seen", "last_seen", "total", "applied")}
    packed = {name: table[name].to_pylist() for name in ("history", "had", "hidden", "links")}
    lists = {name: _slices(table[name]) for name in ("sums", "affinity_keys", "affinity")}
    return [
        UserState.empty(user_key)
        if plain["total"][row] is None
        else UserState(
            user_key=user_key,
            history=np.frombuffer(packed["history"][row], RECORD),
            sums=lists["sums"][row],
            affinity_keys=lists["affinity_keys"][row].astype(np.int32),
            affinity=lists["affinity"][row],
            had_set=KeySet.from_bytes(packed["had"][row]),
            hidden_set=KeySet.from_bytes(packed["hidden"][row]),
            links=Links.from_bytes(packed["links"][row]),
            first_seen=plain["first_seen"][row],
            last_seen=plain["last_seen"][row],
            total=plain["total"][row],
            applied=Position.from_text(plain["applied"][row]),
        )
        for row, user_key in enumerate(user_keys)
    ]


def _slices(column: pa.ChunkedArray) -> list[np.ndarray]:
    """Each row's list as a view of one flat array; missing rows are empty."""
    array = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
    values = array.values.to_numpy(zero_copy_only=False)
    offsets = array.offsets.to_numpy()
    return [values[start:end] for start, end in itertools.pairwise(offsets)]
