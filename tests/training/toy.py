"""A toy world with a known answer: everybody walks along one of two long chains of items, one step at a time.

Whoever took item k of a chain takes item k + 1 next, so what follows what is all there is to learn, and popularity
knows nothing of it.
"""

import datetime as dt

import numpy as np
import pandas as pd

from feature_repo.command import build_features
from registry.versions.versions import Registered
from tailorbird.catalog.catalog import Catalog, Users
from tailorbird.events.rows import table_of_frame
from tailorbird.events.schema import SCHEMA
from tailorbird.privacy.door.door import Door
from tailorbird.recipes.recipe import Recipe
from tailorbird.settings import Settings
from tailorbird.streams.factory import compact_stream, open_events
from training.data.dataset import Dataset
from training.data.training_set import training_set
from training.fit.train import train

CHAIN = 30
WALK = 14
DAY = 86_400.0
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC).timestamp()
NOW = dt.datetime(2026, 5, 6, tzinfo=dt.UTC)
RECIPE = Recipe.of(
    {
        "name": "toy",
        "width": 8,
        "candidates": 30,
        "sources": ["cooccurrence", "content", "popularity"],
        "ranker": {"cases": 200, "epochs": 3, "negatives": 20},
        "cooccurrence": {"smoothing": 0.1, "ease_l2": 10.0},
    }
)
POPULAR_ONLY = Recipe.of({"name": "popular", "width": 8, "sources": ["popularity"], "ranker": {"cases": 1}})


def catalog() -> Catalog:
    """Sixty items in two chains, tea and cups."""
    return Catalog.from_frame(
        pd.DataFrame(
            {
                "item_id": [f"{chain}-{step}" for chain in ("tea", "cup") for step in range(CHAIN)],
                "title": [f"{chain} number {step}" for chain in ("tea", "cup") for step in range(CHAIN)],
                "categories": [[chain] for chain in ("tea", "cup") for _ in range(CHAIN)],
                "price": np.linspace(1, 60, 2 * CHAIN),
            }
        )
    )


def users(count: int) -> Users:
    """People of two countries and all ages."""
    return Users.from_frame(
        pd.DataFrame(
            {
                "user_id": [f"u{n}" for n in range(count)],
                "age": [15.0 + n % 60 for n in range(count)],
                "country": ["DE" if n % 2 else "FR" for n in range(count)],
            }
        )
    )


def walks(count: int, *, days: float = 40.0, seed: int = 0, first: int = 0) -> pd.DataFrame:
    """Every user starts somewhere on a chain, at some time, and steps on about twice a day."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(first, first + count):
        chain = "tea" if user % 2 else "cup"
        place = int(rng.integers(0, CHAIN - WALK))
        times = START + rng.uniform(0, days) * DAY + np.cumsum(rng.uniform(0.2, 0.8, WALK)) * DAY
        rows += [
            {
                "message_id": f"m{user}-{step}",
                "type": "click",
                "user_id": f"u{user}",
                "item_id": f"{chain}-{place + step}",
                "event_time": time,
            }
            for step, time in enumerate(times)
        ]
    frame = pd.DataFrame(rows).reindex(columns=SCHEMA.names)
    frame["event_time"] = pd.to_datetime(frame["event_time"], unit="s", utc=True).astype(
        "datetime64[us, UTC]"
    )
    frame["received_time"] = frame["event_time"]
    return frame.sort_values("event_time", ignore_index=True)


def make_workspace(settings: Settings, *, count: int = 120) -> None:
    """Ingest the toy world and build its features."""
    Door.of(settings).close()  # its keys, before it has events
    catalog().write(settings.catalog_folder)
    users(count).write(settings.catalog_folder)
    append(settings, walks(count))


def append(settings: Settings, events: pd.DataFrame) -> None:
    """Put events into the log and bring the features up to date."""
    with open_events(settings) as log:
        log.append_table(table_of_frame(events))
        compact_stream(log)
    build_features(settings)


def trained(settings: Settings, recipe: Recipe = RECIPE, *, dataset: Dataset | None = None) -> Registered:
    """Train and register ``recipe`` at NOW."""
    return train(dataset or training_set(settings), recipe, settings=settings, seed=0, now=NOW).registered
