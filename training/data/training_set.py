"""What a command of this room starts from: the events that Feast's offline store knows, with the items and users."""

from functools import reduce

import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_repo.definitions import USER_VIEW, snapshot_file
from tailorbird.errors import TailorbirdError
from tailorbird.plumbing.terminal import say
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events
from tailorbird.streams.position import Position
from training.data.dataset import Dataset, load_dataset


def training_set(settings: Settings) -> Dataset:
    """Load the workspace up to the last event that the offline snapshots contain: events and profiles then agree.

    Raises:
        TailorbirdError: nothing was ingested, or features were never built.
    """
    if not (settings.catalog_folder / "items.parquet").is_file():
        return load_dataset(settings)  # which says that nothing was ingested
    reach = offline_reach(settings)
    with open_events(settings) as events:
        newer = events.lag(reach)
    if newer:
        say(f"{newer:,} newer events are left out; `tailorbird features` brings them into the training set")
    return load_dataset(settings, through=reach)


def offline_reach(settings: Settings) -> Position:
    """The position up to which every event is in the offline snapshots."""
    file = snapshot_file(settings.feature_folder, USER_VIEW)
    if not file.is_file():
        raise TailorbirdError(
            f"workspace {settings.workspace!r} has no offline features at {file}",
            remedy=f"run `tailorbird features --workspace {settings.workspace}` first",
        )
    reached = pc.unique(pq.read_table(file, columns=["applied"])["applied"]).to_pylist()
    return reduce(Position.joined, map(Position.from_text, reached), Position({0: 0}))
