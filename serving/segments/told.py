"""What people told of themselves, for a segment model that asks: read when it first does, and again where the catalogue changed."""

import time
from pathlib import Path

from tailorbird.catalog.catalog import Users
from tailorbird.catalog.log.delta import CatalogFollower
from tailorbird.features.demographics import NOBODY, Demographics, demographics_of

LOOK_SECONDS = 10.0


class ToldPeople:
    """Demographics of one workspace. One thread may ask."""

    def __init__(self, folder: Path, *, look_seconds: float = LOOK_SECONDS) -> None:
        self._folder, self._look_seconds = folder, look_seconds
        self._catalogue: CatalogFollower | None = None
        self._people: dict[str, Demographics] = {}
        self._looked = 0.0

    def of(self, user_key: str) -> Demographics:
        """What one person told. Raises StreamAwayError where what changed cannot be read."""
        now = time.monotonic()
        if self._catalogue is None or now - self._looked >= self._look_seconds:
            first = self._catalogue is None
            if self._catalogue is None:
                self._catalogue = CatalogFollower(self._folder)  # before anything of it is read
            delta = self._catalogue.changes()
            if first or (delta is not None and (delta.users or delta.replaced)):
                self._people = demographics_of(Users.read(self._folder))
            self._looked = now
        return self._people.get(user_key, NOBODY)
