"""What became of erased people in the models: whether the version an alias points at now was made of data without them.

Nothing is noted for it: a version says when its data was read, a receipt when the erasure was done.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace

from registry.versions.versions import MADE_AT, Registered, Registry
from tailorbird.bundle import Manifest
from tailorbird.privacy.erasure.receipt import ModelFate, ModelState, Receipt
from tailorbird.settings import Settings

FORGET = "forget"
"""The tag ``kind`` of versions that `tailorbird forget` made."""
OF = "of"
"""The tag with the version whose counts such a one has anew."""
LEARNED_AT = "learned_at"
"""The tag of such a version, and of one that goes on from another, with the instant before which nothing of its learned parts was made."""
_SEGMENTS = "segments"


@dataclass(frozen=True)
class Reading:
    """When (epoch seconds) a version's data was read: for what it counts, and for what it learned, the earliest of it."""

    counted: float
    learned: float
    of_counts: bool = False
    """Whether `tailorbird forget` left nothing in it that was learned before."""

    def fate(self, erased: float) -> ModelFate:
        """What is in it of somebody whom the data held until ``erased``."""
        if self.learned > erased:
            return "forgotten" if self.of_counts else "retrained"
        return "pending" if self.counted > erased else "trained"


def reading_of(registry: Registry, version: Registered) -> Reading:
    """When a version's data was read."""
    counted = _made(version)
    if LEARNED_AT in version.tags:
        learned = dt.datetime.fromisoformat(version.tags[LEARNED_AT]).timestamp()
        forgot = version.tags.get("kind") == FORGET
        return Reading(counted, learned, of_counts=forgot and learned == counted)
    pinned = version.tags.get(_SEGMENTS, "")
    if not pinned.isdigit() or registry.name == registry.settings.segments_name:
        return Reading(counted, counted)
    segments = Registry(registry.settings, name=registry.settings.segments_name)
    return Reading(counted, min(counted, _made(segments.version(pinned))))


def followed(settings: Settings, receipts: Iterable[Receipt]) -> list[Receipt]:
    """Receipts whose models say what has become of each since; those of erasures under way as they are.

    Raises:
        RegistryError: the registry is away.
    """
    now = _Now(settings)
    return [
        each
        if each.done_at is None
        else replace(each, models=tuple(now.state(each, model, each.done_at) for model in each.models))
        for each in receipts
    ]


class _Now:
    """Aliases and readings of a workspace's models, each looked up once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._registries: dict[str, tuple[Registry, dict[str, int]]] = {}
        self._readings: dict[tuple[str, int], Reading] = {}

    def state(self, receipt: Receipt, model: ModelState, erased: float) -> ModelState:
        if not model.version:  # the registry was away at the erasure
            return model
        registry, aliases = self._registry(model.name)
        version = aliases.get(model.alias)
        if version is None:
            return replace(model, state="clean" if model.held == "no" else "retired", now="")
        return replace(model, state=self._fate(receipt, model, registry, version, erased), now=str(version))

    def _fate(
        self, receipt: Receipt, model: ModelState, registry: Registry, version: int, erased: float
    ) -> ModelFate:
        held = held_by(receipt, model.name, version)
        if held == "no":
            return "clean" if model.held == "no" else "retired"
        if (model.name, version) not in self._readings:
            self._readings[model.name, version] = reading_of(registry, registry.version(version))
        fate = self._readings[model.name, version].fate(erased)
        if fate != "trained":
            return "clean" if model.held == "no" else fate
        return "trained" if held == "yes" else "unknown"

    def _registry(self, name: str) -> tuple[Registry, dict[str, int]]:
        if name not in self._registries:
            registry = Registry(self._settings, name=name)
            self._registries[name] = (registry, registry.aliases())
        return self._registries[name]


def held_by(receipt: Receipt, name: str, version: int) -> str:
    """Whether a version's training data held the person, as the receipt says; ``unknown`` where it does not speak of it."""
    said = {each.held for each in receipt.models if (each.name, each.version) == (name, str(version))}
    return next((held for held in ("yes", "unknown", "no") if held in said), "unknown")


def _made(version: Registered) -> float:
    made = version.tags.get(MADE_AT) or Manifest.read(version.folder).created_at
    return dt.datetime.fromisoformat(made).timestamp()
