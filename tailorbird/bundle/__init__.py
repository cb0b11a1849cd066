"""The bundle: the model as one immutable, verified folder."""

from tailorbird.bundle.bundle import Bundle, Fallbacks, Model, Origin, open_bundle, write_bundle
from tailorbird.bundle.manifest import BUNDLE_PATH, BundleError, Manifest

__all__ = [
    "BUNDLE_PATH",
    "Bundle",
    "BundleError",
    "Fallbacks",
    "Manifest",
    "Model",
    "Origin",
    "open_bundle",
    "write_bundle",
]
