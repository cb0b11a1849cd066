"""A segment model whose every answer is obvious: who puts what they look at into the basket, and who only looks."""

import datetime as dt
from pathlib import Path

import numpy as np

from registry.versions.versions import Registry
from tailorbird.bundle import BUNDLE_PATH, Fallbacks, Origin, write_bundle
from tailorbird.bundle.bundle import Model
from tailorbird.segments.model import Segment, SegmentModel, weights_of
from tailorbird.segments.signs import SIGNS, signs_of_type
from tailorbird.segments.told import TOLD_SIGNS
from tailorbird.settings import Settings

LOOKS, CARTS = "looks-around", "fills-carts"
LEAST = 2.5
"""Events before anything is said."""


def carters(*, method: str = "toy 2", carts: str = CARTS) -> SegmentModel:
    """One cart in ten events of one segment, every second of the other; an hour counts, and a month when nothing was done."""
    log_chances = np.zeros((2, SIGNS))
    for kind in ("view", "click"):
        log_chances[0, signs_of_type(kind)], log_chances[1, signs_of_type(kind)] = np.log(0.9), np.log(0.5)
    log_chances[0, signs_of_type("add_to_cart")] = np.log(0.1)
    log_chances[1, signs_of_type("add_to_cart")] = np.log(0.5)
    weights = weights_of(
        {
            "half_lives": (30 * 86_400.0, 3_600.0),
            "edges": np.arange(11.0),
            "log_chances": log_chances,
            "told": np.zeros((2, TOLD_SIGNS)),
            "bias": [0.0, 0.0],
            "slack": 0.5,
            "margin": 0.5,
            "least": LEAST,
        }
    )
    segments = (
        Segment(LOOKS, "rarely fills a cart", ("rarely fills a cart",), 0.75, 0.9, 0.95, {"carting": -0.5}),
        Segment(carts, "fills carts", ("fills carts",), 0.25, 0.8, 0.7, {"carting": 1.5}),
    )
    return SegmentModel(segments, weights, method=method)


def register_segments(settings: Settings, model: Model, scratch: Path) -> str:
    """Register a segment model and make it champion; the version. ``scratch`` stays the place of its files."""
    registry = Registry(settings, name=settings.segments_name)
    count = sum(1 for _ in scratch.glob("segments-*"))
    folder = scratch / f"segments-{count}"
    write_bundle(
        model,
        folder / BUNDLE_PATH,
        origin=Origin(name=registry.name),
        metrics={},
        fallbacks=Fallbacks(),
        now=dt.datetime(2026, 5, 7, tzinfo=dt.UTC),
    )
    if not count:
        registry.client.create_registered_model(registry.name)
    version = registry.client.create_model_version(registry.name, source=str(folder)).version
    registry.client.set_registered_model_alias(registry.name, "champion", str(version))
    return str(version)


def damage(scratch: Path) -> None:
    """Flip a bit of the newest registered model."""
    newest = max(scratch.glob("segments-*"), key=lambda path: int(path.name.split("-")[1]))
    file = newest / BUNDLE_PATH / "model" / "segments.npz"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
