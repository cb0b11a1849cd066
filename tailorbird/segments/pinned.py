"""The segment model that a bundle pins: the version its ranker and lists were made with, whatever is promoted since."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from tailorbird.features.demographics import NOBODY, Demographics
from tailorbird.features.profile.state import UserState
from tailorbird.features.table import SEGMENT_FEATURES, SEGMENT_PLACES
from tailorbird.segments.assigning import assign
from tailorbird.segments.model import NOT_KNOWN, SegmentModel
from tailorbird.segments.told import told_of, told_signs

_AT = {name: position for position, name in enumerate(SEGMENT_FEATURES)}
_IN, _SHARE = _AT["segment_in_1"], _AT["segment_share_1"]
_PIN = "pinned.json"


class Placed(NamedTuple):
    """Where somebody belongs, as places of the model's segments; -1 where too little was seen.

    ``lead`` over the second is in nats, ``shares`` (K,) are the memberships.
    """

    label: int
    incumbent: int
    lead: float
    shares: np.ndarray


@dataclass(frozen=True)
class Pin:
    """Which version of which registered segment model, and the digest of its bundle's manifest."""

    name: str
    version: str
    digest: str


@dataclass(frozen=True, eq=False)
class PinnedSegments:
    """A segment model and the version it is: what it says depends on nothing that is promoted later."""

    pin: Pin
    model: SegmentModel

    def placed(self, state: UserState, demographics: Demographics = NOBODY) -> Placed:
        """Where a person belongs: the same function that profiles, answers and moves are made with."""
        return Placed(*assign(state.history, told_signs(told_of(demographics)), self.model.weights)[:4])

    def key_of(self, placed: Placed) -> str:
        """The segment's key; "" where too little was seen."""
        return NOT_KNOWN if placed.label < 0 else self.model.keys[placed.label]

    def save(self, folder: Path) -> None:
        """Write the model and which version it is."""
        self.model.save(folder)
        (folder / _PIN).write_text(json.dumps(asdict(self.pin), indent=2) + "\n", "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote.

        Raises:
            TailorbirdError: the model was made for other signs than this version computes.
        """
        return cls(Pin(**json.loads((folder / _PIN).read_text("utf-8"))), SegmentModel.load(folder))


def pinned_version(pinned: PinnedSegments | None) -> str:
    """The version as tags and names say it; ``none`` where nothing is pinned."""
    return pinned.pin.version if pinned else "none"


def segment_vector(placed: Placed) -> np.ndarray:
    """(len(SEGMENT_FEATURES),) float32 of where somebody belongs: the fill values where too little was seen."""
    x = np.zeros(len(SEGMENT_FEATURES), np.float32)
    if placed.label < 0:
        return x
    x[_AT["segment_known"]] = 1.0
    x[_AT["segment_moved"]] = placed.label != placed.incumbent
    x[_AT["segment_margin"]] = np.arcsinh(placed.lead)
    if placed.label < SEGMENT_PLACES:
        x[_IN + placed.label] = 1.0
    shares = placed.shares[:SEGMENT_PLACES]
    x[_SHARE : _SHARE + len(shares)] = shares
    return x
