"""What a command of this room starts from: the events of the workspace with the items and users."""

from feature_repo.layout import require_applied
from tailorbird.catalog.store import bring_catalog
from tailorbird.settings import Settings
from training.data.dataset import Dataset, load_dataset


def training_set(settings: Settings) -> Dataset:
    """Load the workspace up to the end of its log as it is now.

    Profiles of the past are asked for at instants before that end: what is collected meanwhile does not change them.

    Raises:
        TailorbirdError: nothing was ingested, or features were never built.
    """
    bring_catalog(settings)
    if (settings.catalog_folder / "items.parquet").is_file():
        require_applied(settings)
    return load_dataset(settings)
