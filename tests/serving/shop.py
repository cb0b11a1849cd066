"""The toy shop as a workspace: real streams, a built feature store and a registry with four versions of a fitted bundle.

Item ``i0`` is the most popular, then ``i1`` and so on, and popularity is all its model knows: whoever asks gets them in
that order.
"""

import datetime as dt
import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd

from feature_repo.command import build_features
from registry.tracking.runs import Tracker
from registry.versions.versions import Registry
from tailorbird.bundle import Fallbacks, Manifest, Origin, write_bundle
from tailorbird.catalog.catalog import Users
from tailorbird.events.columns import EventColumns
from tailorbird.events.interactions import Interactions
from tailorbird.events.schema import SCHEMA, Event
from tailorbird.features.profile.replay import ReplayProfiles
from tailorbird.models.hybrid.fit import fit_hybrid
from tailorbird.privacy.door.door import Door
from tailorbird.recipes.recipe import Recipe
from tailorbird.segments.past import with_groups
from tailorbird.segments.pinned import PinnedSegments
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_events
from tests.slate import toy

RECIPE = Recipe.of(
    {"name": "popular", "width": 8, "sources": ["popularity"], "ranker": {"cases": 50, "epochs": 3}}
)
VERSIONS = 4
DAY = 86_400.0
NOW = dt.datetime.fromtimestamp(toy.NOW, dt.UTC)


def make_shop(settings: Settings, *, scratch: Path) -> None:
    """Fill the workspace, build its features, fit one model and register it four times; no alias is set."""
    toy.CATALOG.write(settings.catalog_folder)
    Users.from_frame(pd.DataFrame({"user_id": ["someone"], "age": [30.0]})).write(settings.catalog_folder)
    with closing(Door.of(settings)) as door:
        history = door.events(_history())
    with open_events(settings) as log:
        log.append(history)
    build_features(settings)
    bundle = scratch / "bundle"
    manifest = write_shop_bundle(settings, bundle, recipe=RECIPE)
    registry = Registry(settings)
    with Tracker.open(settings).start("train") as run:
        for _ in range(VERSIONS):
            registry.register(bundle, run=run, manifest=manifest, tags={})


def write_shop_bundle(
    settings: Settings, bundle: Path, *, recipe: Recipe, pinned: PinnedSegments | None = None
) -> Manifest:
    """Fit the toy shop's history by ``recipe``, with segments or without."""
    history = _history()
    frame = _frame(history)
    people = sorted({event.user_key for event in history})
    interactions = Interactions.of(
        users=np.array([people.index(event.user_key) for event in history], np.int32),
        items=np.array([toy.CATALOG.row_of[event.item_id] for event in history], np.int32),
        times=np.array([event.event_time for event in history]),
        user_ids=np.array(people, dtype=object),
        item_count=len(toy.CATALOG),
    )
    profiles = ReplayProfiles.of_frame(frame, toy.CATALOG)
    if pinned is not None:
        interactions = with_groups(interactions, pinned.model, profiles=profiles, people={})
    fitted = fit_hybrid(
        interactions,
        toy.CATALOG,
        Users.read(settings.catalog_folder),
        profiles,
        EventColumns.of_frame(frame),
        recipe,
        pinned=pinned,
        seed=0,
    )
    return write_bundle(
        fitted.model,
        bundle,
        origin=Origin(name="toy", recipe=recipe.to_toml(), first_event=NOW, last_event=NOW),
        metrics={},
        fallbacks=Fallbacks(everyone=["i7", "i5", "gone"]),
        now=NOW,
    )


def copied(shop: Settings, folder: Path) -> Settings:
    """A workspace of a test's own; the bundles stay where they are."""
    shutil.copytree(shop.home, folder / "home")
    (folder / "mlruns").mkdir()
    shutil.copy(shop.mlruns / "mlflow.db", folder / "mlruns" / "mlflow.db")
    return load_settings(home=folder / "home", mlruns=folder / "mlruns", workspace=shop.workspace)


def _history() -> list[Event]:
    """Item n is viewed by 26 - 2n people, all within the last ten days."""
    count = len(toy.CATALOG)
    seen = [(person, item) for item in range(count) for person in range(2 * (count + 1 - item))]
    return [
        Event(
            f"h{number}",
            "view",
            toy.NOW - 10 * DAY + number * DAY / 40,
            toy.NOW - 10 * DAY + number * DAY / 40,
            user_id=f"p{person}",
            item_id=f"i{item}",
        )
        for number, (person, item) in enumerate(sorted(seen))
    ]


def _frame(history: list[Event]) -> pd.DataFrame:
    frame = pd.DataFrame({name: pd.Series([None] * len(history), dtype=object) for name in SCHEMA.names})
    for name in ("message_id", "type", "user_id", "item_id"):
        frame[name] = [getattr(event, name) for event in history]
    times = pd.to_datetime([round(event.event_time * 1e6) for event in history], unit="us", utc=True)
    frame["event_time"] = frame["received_time"] = times
    frame["user_key"] = [event.user_key for event in history]
    return frame
