"""What profiles know of the workspace's items, read again when the catalogue changes."""

from tailorbird.events.valence import RatingScale
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.items.followed import FollowedFacts
from tailorbird.settings import Settings


class LiveFacts:
    """Call it for the facts of the catalogue as it is now."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._items: FollowedFacts | None = None

    def __call__(self) -> ItemFacts:
        """The facts, with those of the past; of no item at all where there is no catalogue."""
        if (
            self._items is None
        ):  # who asks first waits: a replica that is never asked reads no second catalogue
            scale = RatingScale.parse(self._settings.rating_scale)
            self._items = FollowedFacts(self._settings.catalog_folder, scale=scale)
        self._items.look_and_wait()
        return self._items.facts
