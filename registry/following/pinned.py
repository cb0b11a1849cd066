"""Segment models to pin: the version that a new recommender is trained with, and the one inside of a registered one."""

from registry.following.follower import Follower
from registry.following.pointers import RegistryError
from tailorbird.bundle import open_bundle
from tailorbird.bundle.manifest import Manifest
from tailorbird.errors import TailorbirdError
from tailorbird.models.hybrid.model import SEGMENTS
from tailorbird.segments.model import SegmentModel
from tailorbird.segments.pinned import Pin, PinnedSegments
from tailorbird.settings import Settings

NONE, CHAMPION = "none", "champion"


def segments_to_pin(settings: Settings, which: str = CHAMPION) -> PinnedSegments | None:
    """The version of the segment model that ``which`` names, a number or an alias; None for ``none``, or where there is no champion.

    Raises:
        RegistryError: there is no such version or alias, or the registry is away.
        BundleError: its bundle is damaged.
        TailorbirdError: it is no segment model, or was made for other signs than this version computes.
    """
    if which == NONE:
        return None
    follower = Follower(settings, name=settings.segments_name)
    version = which if which.isdigit() else follower.look([which])[which]
    if version is None:
        if which == CHAMPION:
            return None
        raise RegistryError(
            f"the segment model has no alias {which!r}",
            remedy="`tailorbird segments promote` sets one; or train with --segments none",
        )
    bundle = open_bundle(follower.fetch(which, version).folder)
    if not isinstance(bundle.model, SegmentModel):
        raise TailorbirdError(
            f"version {version} of {settings.segments_name!r} holds no segment model",
            remedy="name a version that `tailorbird segments fit` registered",
        )
    pin = Pin(settings.segments_name, version, bundle.manifest.digest)
    return PinnedSegments(pin, bundle.model)


def segments_pinned_by(settings: Settings, version: str) -> PinnedSegments | None:
    """The segments that a registered recommender pins; None where it pins none, or is gone."""
    follower = Follower(settings)
    try:
        folder = follower.fetch("", version).folder
    except RegistryError:
        return None
    Manifest.read(folder).verify(folder)
    inside = folder / "model" / SEGMENTS
    return PinnedSegments.load(inside) if inside.is_dir() else None
