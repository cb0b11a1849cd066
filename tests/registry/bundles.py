"""Small bundles for tests of the registry that need no recommender inside."""

import datetime as dt
from pathlib import Path
from typing import Self

import numpy as np

from registry.tracking.runs import Tracker
from registry.versions.versions import Registered, Registry
from tailorbird.bundle import Fallbacks, Origin, write_bundle
from tailorbird.settings import Settings

NOW = dt.datetime(2026, 3, 4, tzinfo=dt.UTC)


class Scores:
    """A model that is one array."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def save(self, folder: Path) -> None:
        np.save(folder / "values.npy", self.values, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(np.load(folder / "values.npy", allow_pickle=False))


def register(registry: Registry, settings: Settings, tmp_path: Path, value: float) -> Registered:
    """Register a bundle that holds ``value``."""
    folder = tmp_path / f"bundle-{value}"
    manifest = write_bundle(
        Scores(np.array([value])), folder, origin=Origin(name="t"), metrics={}, fallbacks=Fallbacks(), now=NOW
    )
    with Tracker.open(settings).start("train") as run:
        return registry.register(folder, run=run, manifest=manifest, tags={"stage": "test"})


def bare_versions(registry: Registry, settings: Settings, count: int) -> None:
    """Versions without artifacts, for tests of aliases only."""
    run = Tracker.open(settings).start("train")
    source = registry.client.get_run(run.run_id).info.artifact_uri
    registry.client.create_registered_model(registry.name)
    for _ in range(count):
        registry.client.create_model_version(registry.name, source=source, run_id=run.run_id)
