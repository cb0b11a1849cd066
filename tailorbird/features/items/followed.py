"""The facts of a workspace's items, kept up with its catalogue: at once where tables were replaced, beside the work where patches were told."""

import logging
import threading
import time
from pathlib import Path

from tailorbird.catalog.catalog import Catalog
from tailorbird.catalog.files import ITEMS_FILE
from tailorbird.catalog.log.delta import CatalogDelta, CatalogFollower
from tailorbird.events.valence import FIVE_STARS, RatingScale
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.items.items import StaticItems
from tailorbird.streams.stream import StreamAwayError

log = logging.getLogger(__name__)
CONCERNED = frozenset({"categories", "brand", "price", "launched_at"})
"""The columns that facts and stored features are made of; a stock that changes is none of their business."""
REST = 9.0
"""After a reading in the background it rests so many times as long as it took."""


class FollowedFacts:
    """Facts and stored features of items as of the last look. Without a catalogue, items are unknown and events count all the same."""

    def __init__(self, folder: Path, *, scale: RatingScale = FIVE_STARS) -> None:
        self._folder, self._scale = Path(folder), scale
        self._follower = CatalogFollower(folder)
        self._reading: threading.Thread | None = None
        self._due, self._rests_until = False, 0.0
        self._installing, self._begun, self._installed = threading.Lock(), 0, 0
        self._read()

    @property
    def both(self) -> tuple[ItemFacts, StaticItems]:
        """What profiles know of items, and the stored features that events do not change: of the same catalogue."""
        return self._both

    @property
    def facts(self) -> ItemFacts:
        """What profiles know of items, with what these were before."""
        return self._both[0]

    def look(self) -> None:
        """See whether the catalogue has changed. Replaced tables are read here; what was told, in a thread of its own."""
        delta = self._changes()
        if delta is not None and delta.replaced:
            self._read()
            return
        self._due |= delta is not None and self._concerns(delta)
        resting = self._reading is not None and self._reading.is_alive()
        if self._due and not resting and time.monotonic() >= self._rests_until:
            self._due = False
            self._reading = threading.Thread(target=self._read_beside, name="catalogue-facts", daemon=True)
            self._reading.start()

    def look_and_wait(self) -> None:
        """See whether the catalogue has changed, and read it here where it has."""
        delta = self._changes()
        if delta is not None and (delta.replaced or self._concerns(delta)):
            self._read()

    def _changes(self) -> CatalogDelta | None:
        try:
            return self._follower.changes()
        except StreamAwayError as error:
            log.warning("whether the catalogue has changed is not known at present: %s", error)
            return None

    def _concerns(self, delta: CatalogDelta) -> bool:
        known = self.facts.row_of
        return any(not CONCERNED.isdisjoint(told) or key not in known for key, told in delta.items.items())

    def _read_beside(self) -> None:
        started = time.monotonic()
        try:
            self._read()
        except Exception:
            log.exception("the catalogue cannot be read; profiles go on with what they know of items")
            self._due = True
        self._rests_until = time.monotonic() + REST * (time.monotonic() - started)

    def _read(self) -> None:
        with self._installing:
            self._begun += 1
            mine = self._begun
        there = (self._folder / ITEMS_FILE).exists()
        catalog = Catalog.read_with_history(self._folder) if there else Catalog.of_ids([])
        both = ItemFacts.of(catalog, scale=self._scale), StaticItems(catalog)
        with self._installing:
            if mine > self._installed:  # else one that began later, and read what is newer, has ended before
                self._both, self._installed = both, mine
