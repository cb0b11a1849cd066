"""The notice that an alias moved: a file in the cluster's folder that admin touches and every replica looks at.

Without it (another machine, a full disk) replicas still see the move when they next look at the registry.
"""

import time
from pathlib import Path


class Notice:
    """One cluster's notice; ``stamp`` changes with every move that was announced."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "alias-moved"

    def give(self) -> bool:
        """Say that an alias moved; False where that is not possible."""
        try:
            self._path.write_text(str(time.time_ns()), "utf-8")
        except OSError:
            return False
        return True

    def stamp(self) -> str:
        """Changes with every notice; "" before the first."""
        try:
            return self._path.read_text("utf-8")
        except OSError:
            return ""
