"""Where profiles of the past come from: the protocol that training asks for what a user had done by an instant."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from tailorbird.catalog.catalog import Catalog
from tailorbird.catalog.keys import stable_keys
from tailorbird.events.interactions import Histories
from tailorbird.events.valence import Taste
from tailorbird.features.history.sums import TYPE_PRESENCE
from tailorbird.features.items.items import ItemTable
from tailorbird.features.profile.state import UserState
from tailorbird.plumbing.compiled import compiled

_BY_VALENCE = np.zeros(0)


class ProfileSource(Protocol):
    """Point-in-time profiles."""

    def states_at(self, user_keys: Sequence[str], instants: np.ndarray) -> list[UserState]:
        """The profile of each user at its instant (epoch seconds), in that order.

        It is made of what happened strictly before the instant and had been received by it, and of nothing else.
        """
        ...


class RowsOfKeys:
    """Translates item keys of histories to rows of one catalogue: ``keys`` (n,) ascending belong to ``rows`` (n,)."""

    def __init__(self, catalog: Catalog) -> None:
        keys = stable_keys(catalog.item_ids)
        self.rows = np.argsort(keys, kind="stable")
        self.keys = keys[self.rows]

    @classmethod
    def of_table(cls, table: ItemTable) -> "RowsOfKeys":
        """Share the keys of an item table."""
        self = cls.__new__(cls)
        self.keys, self.rows = table._by_key
        return self


def histories_of(
    states: Sequence[UserState],
    rows_of: RowsOfKeys,
    *,
    now: np.ndarray,
    length: int | None = None,
    taste: Taste = "valence",
) -> Histories:
    """What retrievers may see of profiles: events that speak for an item of the catalogue, oldest first.

    With the taste ``presence`` an event counts for having happened, whatever its value said.
    """
    most = np.iinfo(np.int64).max if length is None else length
    met = TYPE_PRESENCE if taste == "presence" else _BY_VALENCE
    found = [_speaking(state.history, rows_of.keys, rows_of.rows, met, max(0, most)) for state in states]
    return Histories(
        indptr=np.concatenate([[0], np.cumsum([len(items) for items, _, _ in found])]).astype(np.int64),
        items=np.concatenate([np.zeros(0, np.int32), *(items for items, _, _ in found)]),
        times=np.concatenate([np.zeros(0), *(times for _, times, _ in found)]),
        weights=np.concatenate([np.zeros(0, np.float32), *(weights for _, _, weights in found)]),
        now=np.asarray(now, np.float64),
    )


@compiled
def _speaking(
    history: np.ndarray, keys: np.ndarray, rows: np.ndarray, presences: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Catalogue rows, times (epoch seconds) and weights of the last ``most`` events that speak for an item.

    ``keys`` (n,) ascending are the items', ``rows`` (n,) theirs; ``presences`` (types,) weigh by type, (0,) leaves it to
    what each event said.
    """
    items, times = np.empty(len(history), np.int32), np.empty(len(history), np.float64)
    weights = np.empty(len(history), np.float32)
    count = 0
    for i in range(len(history)):
        event = history[i]
        weight = presences[event.type] if len(presences) else np.float64(event.strength)
        if event.item == 0 or weight <= 0:
            continue
        place = np.searchsorted(keys, event.item)
        if place < len(keys) and keys[place] == event.item:
            items[count], times[count], weights[count] = rows[place], event.time / 1e6, weight
            count += 1
    first = max(0, count - most)
    return items[first:count], times[first:count], weights[first:count]
