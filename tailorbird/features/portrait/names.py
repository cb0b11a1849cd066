"""Names for what profiles keep as numbers: which item has a key, which categories and brands share a bucket."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from tailorbird.catalog.catalog import Catalog
from tailorbird.catalog.keys import by_key, rows_of_keys, stable_keys
from tailorbird.features.history.facts import BUCKETS, bucket


@dataclass(frozen=True)
class CatalogNames:
    """The ids of n items by their keys (``keys`` (n,) int64 ascending), and names by bucket, of categories and of brands."""

    keys: np.ndarray
    rows: np.ndarray
    item_ids: np.ndarray
    of_buckets: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, catalog: Catalog) -> "CatalogNames":
        """The names of a catalogue. Two categories of one bucket are told by both their names."""
        keys, rows = by_key(stable_keys(catalog.item_ids))
        named = _by_bucket(set(chain.from_iterable(catalog.items["categories"])), offset=0)
        named |= _by_bucket(set(catalog.items["brand"]), offset=BUCKETS)
        return cls(keys, rows, catalog.item_ids, named)

    def items(self, keys: np.ndarray) -> list[str | None]:
        """The item of each of ``keys`` (m,); None for none, and for one that the catalogue does not know."""
        found = rows_of_keys(self.keys, self.rows, keys)
        return [str(self.item_ids[row]) if row >= 0 else None for row in found.tolist()]


def _by_bucket(names: Iterable[str], *, offset: int) -> dict[int, str]:
    found: dict[int, list[str]] = {}
    for name in sorted(name for name in names if name):
        found.setdefault(offset + bucket(name), []).append(name)
    return {key: " or ".join(same) for key, same in found.items()}
