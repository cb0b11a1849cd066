"""What profiles know of the workspace's items, read again when the catalogue changes."""

from tailorbird.catalog.catalog import Catalog
from tailorbird.events.valence import RatingScale
from tailorbird.features.facts import ItemFacts
from tailorbird.settings import Settings


class LiveFacts:
    """Call it for the facts of the catalogue as it is now."""

    def __init__(self, settings: Settings) -> None:
        self._folder, self._scale = settings.catalog_folder, RatingScale.parse(settings.rating_scale)
        self._stamp = -1
        self._facts = ItemFacts.of(Catalog.of_ids([]), scale=self._scale)

    def __call__(self) -> ItemFacts:
        """The facts, with those of the past; of no item at all where there is no catalogue."""
        file = self._folder / "items.parquet"
        stamp = file.stat().st_mtime_ns if file.exists() else 0
        if stamp != self._stamp:
            catalog = Catalog.read_with_history(self._folder) if stamp else Catalog.of_ids([])
            self._facts, self._stamp = ItemFacts.of(catalog, scale=self._scale), stamp
        return self._facts
