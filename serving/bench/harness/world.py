"""The world of the serving benchmark: a workspace of synthetic people and items, and a hybrid fitted on it."""

import datetime as dt
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from feature_repo.command import build_features
from registry.promotion.aliases import Aliases
from registry.promotion.decisions import PROMOTE, Decision
from registry.tracking.runs import Tracker
from registry.versions.versions import Registry
from registry.who import whoami
from tailorbird.bundle import BUNDLE_PATH, Fallbacks, Manifest, Origin, write_bundle
from tailorbird.catalog.catalog import Catalog, Users
from tailorbird.events.columns import EventColumns
from tailorbird.events.interactions import Interactions
from tailorbird.events.rows import table_of_frame
from tailorbird.events.schema import SCHEMA
from tailorbird.experiments.declared import ARMS_FILE
from tailorbird.features.profile.replay import ReplayProfiles
from tailorbird.models.hybrid.fit import Progress, fit_hybrid
from tailorbird.plumbing.terminal import progress
from tailorbird.privacy.door.door import Door
from tailorbird.recipes.recipe import Recipe, load_recipe
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events

CATEGORIES = 50
EVENTS_PER_USER = 40
SPAN_DAYS = 30
SECOND_ARM = "challenger"


def make_world(
    settings: Settings, *, items: int, users: int, seed: int, on_step: Callable[[str], object]
) -> list[str]:
    """Fill the workspace, fit and promote a model; the ids of all users.

    The recipe is the default one with fewer epochs: a request costs the same whatever the weights are.
    """
    now = time.time()
    rng = np.random.default_rng(seed)
    catalog = _catalog(items, rng)
    callers = [f"user-{n}" for n in range(users)]
    owners, rows = _tastes(users, items, rng)
    times = np.sort(now - rng.uniform(60.0, SPAN_DAYS * 86_400.0, len(owners)))
    on_step("writing events")
    events = _events(catalog, callers, owners, rows, times)
    with closing(Door.of(settings)) as door:
        events = door.frame(events)
        people = [door.names.user(name) for name in callers]
    catalog.write(settings.catalog_folder)
    Users.from_frame(pd.DataFrame({"user_id": people, "age": rng.integers(16, 80, users)})).write(
        settings.catalog_folder
    )
    with open_events(settings) as stream:
        stream.append_table(table_of_frame(events))
    on_step("building features")
    build_features(settings)
    interactions = Interactions.of(
        users=owners, items=rows, times=times, user_ids=np.array(people, dtype=object), item_count=items
    )
    events["user_key"] = events["user_id"]

    def report(progress: Progress) -> None:
        if progress.total == 0:
            on_step(f"fitting {progress.stage}")

    fitted = fit_hybrid(
        interactions,
        catalog,
        Users.read(settings.catalog_folder),
        ReplayProfiles.of_frame(events, catalog),
        EventColumns.of_frame(events),
        _recipe(),
        seed=seed,
        on_progress=report,
    )
    on_step("publishing")
    folder = settings.folder / "models" / "1"
    popular = np.argsort(-np.bincount(rows, minlength=items), kind="stable")
    write_bundle(
        fitted.model,
        folder / BUNDLE_PATH,
        origin=Origin(
            name=settings.model_name,
            recipe=_recipe().to_toml(),
            first_event=dt.datetime.fromtimestamp(times[0], dt.UTC),
            last_event=dt.datetime.fromtimestamp(times[-1], dt.UTC),
        ),
        metrics={},
        fallbacks=Fallbacks(everyone=[str(catalog.item_ids[row]) for row in popular[:1_000]]),
        now=dt.datetime.fromtimestamp(now, dt.UTC),
    )
    promote_folder(settings, folder)
    return callers


def shown_world(settings: Settings, *, items: int, users: int, seed: int) -> list[str]:
    """The same, while whoever waits sees its steps."""
    with progress("Making the world") as step:
        return make_world(
            settings,
            items=items,
            users=users,
            seed=seed,
            on_step=lambda name: step.update(description=name),
        )


def promote_folder(settings: Settings, folder: Path) -> str:
    """Register the bundle of a model folder as the next version and make it champion, unjudged; the version."""
    version, registry = register_folder(settings, folder), Registry(settings)
    now, before = dt.datetime.now(dt.UTC), registry.aliases().get("champion")
    why = "a measurement: nobody judged it"
    Aliases(registry).move(Decision(PROMOTE, "champion", int(version), before, whoami(), now, why=why))
    return version


def declare_second_arm(settings: Settings) -> None:
    """A challenger beside the champion: the same bundle under a second alias, loaded a second time."""
    registry = Registry(settings)
    champion = registry.aliases()["champion"]
    now, why = dt.datetime.now(dt.UTC), "a measurement: nobody judged it"
    Aliases(registry).move(Decision(PROMOTE, SECOND_ARM, champion, None, whoami(), now, why=why))
    (settings.folder / ARMS_FILE).write_text(f"[{SECOND_ARM}]\n", "utf-8")


def register_folder(settings: Settings, folder: Path) -> str:
    """Register the bundle of a model folder as the next version; the version."""
    bundle = folder / BUNDLE_PATH
    with Tracker.open(settings).start("bench") as run:
        made = Registry(settings).register(
            bundle, run=run, manifest=Manifest.read(bundle), tags={"kind": "bench"}
        )
    return str(made.version)


def _recipe() -> Recipe:
    recipe = load_recipe("default")
    return replace(
        recipe,
        sequence=replace(recipe.sequence, epochs=1, refit_epochs=1),
        ranker=replace(recipe.ranker, epochs=2, cases=1_000),
    )


def _catalog(items: int, rng: np.random.Generator) -> Catalog:
    category = rng.integers(0, CATEGORIES, items)
    words = rng.integers(0, 3_000, (items, 12))
    return Catalog.from_frame(
        pd.DataFrame(
            {
                "item_id": [f"item-{n}" for n in range(items)],
                "title": [f"word{row[0]} word{row[1]}" for row in words],
                "text": [" ".join(f"word{word}" for word in row) for row in words],
                "categories": [[f"group-{c // 10}", f"category-{c}"] for c in category],
                "brand": [f"brand-{n}" for n in rng.integers(0, 200, items)],
                "price": np.round(rng.lognormal(3.0, 0.8, items), 2),
                "stock": rng.integers(0, 50, items).astype(float),
            }
        )
    )


def _tastes(users: int, items: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Who touches what: everybody keeps to a stretch of the catalogue, popular items come more often."""
    owners = np.repeat(np.arange(users), EVENTS_PER_USER)
    home = rng.integers(0, items, users)[owners]
    near = (home + rng.normal(0, items / 100, len(owners)).astype(int)) % items
    popular = (items * rng.power(0.4, len(owners))).astype(int) % items
    rows = np.where(rng.random(len(owners)) < 0.8, near, popular)
    order = rng.permutation(len(owners))
    return owners[order].astype(np.int32), rows[order].astype(np.int32)


def _events(
    catalog: Catalog, people: list[str], owners: np.ndarray, rows: np.ndarray, times: np.ndarray
) -> pd.DataFrame:
    count = len(owners)
    instants = pd.to_datetime(np.round(times * 1e6).astype(np.int64), unit="us", utc=True)
    frame = pd.DataFrame({name: pd.Series([None] * count, dtype=object) for name in SCHEMA.names})
    frame["message_id"] = [f"m{n}" for n in range(count)]
    frame["type"] = np.where(np.arange(count) % 10 == 0, "purchase", "view")
    frame["user_id"] = np.array(people, dtype=object)[owners]
    frame["session_id"] = [f"s{owner}-{n % 7}" for n, owner in enumerate(owners)]
    frame["item_id"] = catalog.item_ids[rows]
    frame["event_time"] = frame["received_time"] = instants
    return frame
