"""Who may not be told of: asked in the live profiles right before a delivery leaves, as it may have waited."""

from collections.abc import Callable

from feature_repo.layout import online_file
from feature_repo.store import FeatureStoreRoom
from tailorbird.features.consent.consents import PERSONALIZATION
from tailorbird.settings import Settings


def refused_by(settings: Settings) -> Callable[[str], bool]:
    """Whether a person (key) refuses to be moved, by the words of now. Raises FeatureStoreAwayError."""
    room: list[FeatureStoreRoom] = []

    def refuses(person: str) -> bool:
        if (
            settings.online == "sqlite" and not online_file(settings.feature_folder).exists()
        ):  # no profile, so nothing that a word could have ended
            return False
        if not room:
            room.append(FeatureStoreRoom(settings))
        (state,) = room[0].online_read([person])
        return state.links.consents.refuses(PERSONALIZATION)

    return refuses
