"""The ids of the workspace's catalogue, read again when the file changes."""

import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq


class KnownItems:
    """Call it for the set of item ids; looks at the file at most once a second."""

    def __init__(self, catalog_folder: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = catalog_folder / "items.parquet", clock
        self._ids: frozenset[str] = frozenset()
        self._stamp = 0.0
        self._looked = float("-inf")

    def __call__(self) -> frozenset[str]:
        """The ids the catalogue holds now; those of before while it cannot be read."""
        if self._clock() - self._looked >= 1.0:
            self._looked = self._clock()
            try:
                stamp = self._path.stat().st_mtime
                if stamp != self._stamp:
                    ids = pq.read_table(self._path, columns=["item_id"]).column("item_id").to_pylist()
                    self._ids, self._stamp = frozenset(map(str, ids)), stamp
            except (OSError, ValueError):
                return self._ids
        return self._ids
