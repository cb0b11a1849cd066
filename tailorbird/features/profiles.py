"""Where profiles of the past come from: the protocol that training asks for what a user had done by an instant."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from tailorbird.catalog import Catalog
from tailorbird.features.facts import ItemFacts
from tailorbird.features.items import ItemTable
from tailorbird.features.state import UserState
from tailorbird.interactions import Histories


class ProfileSource(Protocol):
    """Point-in-time profiles."""

    def states_at(self, user_keys: Sequence[str], instants: np.ndarray) -> list[UserState]:
        """The profile of each user as of what happened strictly before its instant (epoch seconds), in that order."""
        ...


class RowsOfKeys:
    """Translates item keys of histories to rows of one catalogue."""

    def __init__(self, catalog: Catalog) -> None:
        keys = ItemFacts.of(catalog).keys[:-1]
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    @classmethod
    def of_table(cls, table: ItemTable) -> "RowsOfKeys":
        """Share the keys of an item table."""
        self = cls.__new__(cls)
        self._keys, self._order = table._by_key
        return self

    def __call__(self, keys: np.ndarray) -> np.ndarray:
        """(n,) rows, -1 where the catalogue lacks the item."""
        if not len(self._keys):
            return np.full(len(keys), -1, np.int64)
        where = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[where] == keys, self._order[where], -1)


def histories_of(
    states: Sequence[UserState], rows_of: RowsOfKeys, *, now: np.ndarray, length: int | None = None
) -> Histories:
    """What retrievers may see of profiles: events that speak for an item of the catalogue, oldest first."""
    items, times, weights, lengths = [], [], [], []
    for state in states:
        strengths = state.strengths
        rows = rows_of(state.item_keys)
        keep = np.flatnonzero((rows >= 0) & (strengths > 0))
        if length is not None:
            keep = keep[-length:]
        items.append(rows[keep])
        times.append(state.times[keep])
        weights.append(strengths[keep])
        lengths.append(len(keep))
    return Histories(
        indptr=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        items=np.concatenate([*items, np.zeros(0, np.int32)]).astype(np.int32),
        times=np.concatenate([*times, np.zeros(0)]),
        weights=np.concatenate([*weights, np.zeros(0)]).astype(np.float32),
        now=np.asarray(now, np.float64),
    )
