"""The ids of the workspace's catalogue, kept up with it."""

import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path

import pyarrow.parquet as pq

from tailorbird.catalog.files import ITEMS_FILE
from tailorbird.catalog.log.delta import CatalogFollower
from tailorbird.errors import TailorbirdError


class KnownItems:
    """Call it for the set of item ids; looks at the catalogue at most once a second."""

    def __init__(self, catalog_folder: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._clock = catalog_folder, clock
        self._ids: set[str] = set()
        self._follower: CatalogFollower | None = None
        self._looked = float("-inf")

    def __call__(self) -> AbstractSet[str]:
        """The ids the catalogue holds now; those of before while it cannot be read."""
        if self._clock() - self._looked >= 1.0:
            self._looked = self._clock()
            try:
                self._look()
            except (OSError, ValueError, TailorbirdError):
                return self._ids
        return self._ids

    def _look(self) -> None:
        follower = self._follower or self._begun()
        delta = follower.changes()
        if delta is not None and delta.replaced:
            delta = self._begun().changes()
        if delta is not None:
            self._ids.update(delta.items)

    def _begun(self) -> CatalogFollower:
        """Read the table, and follow what is told from there on."""
        if self._follower is not None:
            self._follower.close()
        self._follower, follower = None, CatalogFollower(self._folder, from_table=True)
        file = self._folder / ITEMS_FILE
        if file.exists():
            self._ids = set(map(str, pq.read_table(file, columns=["item_id"]).column("item_id").to_pylist()))
        self._follower = follower
        return follower
