"""The segment model: what was found, as numbers that assign and words that explain; written as npz and JSON, without pickle."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tailorbird.errors import TailorbirdError
from tailorbird.features.demographics import NOBODY, Demographics
from tailorbird.features.history.records import RECORD
from tailorbird.features.profile.state import UserState
from tailorbird.segments.assigning import Weights, assign
from tailorbird.segments.signs import SIGNS
from tailorbird.segments.told import told_of, told_signs

NOT_KNOWN = ""
"""The segment of somebody of whom too little was seen."""
FORMAT = 2


@dataclass(frozen=True)
class Segment:
    """One segment: ``key`` names it for programs, ``name`` and ``words`` for people.

    ``share`` is its part of everybody at fitting; ``precision`` and ``recall`` are those of the ``words`` as a rule.
    """

    key: str
    name: str
    words: tuple[str, ...]
    share: float
    precision: float
    recall: float
    traits: Mapping[str, float] = field(default_factory=dict)
    """What sets it apart, in standard deviations from everybody's mean, the strongest first."""


@dataclass(frozen=True)
class Assigned:
    """Where somebody belongs: ``key`` of the segment, ``evidence`` the lead over the second in nats.

    ``memberships`` are shares of all segments; ``moved`` tells that the fast memory overruled the slow one's ``incumbent``.
    """

    key: str
    incumbent: str
    evidence: float
    memberships: Mapping[str, float]

    @property
    def moved(self) -> bool:
        """Whether what was done lately outweighs what is usual."""
        return self.key != self.incumbent


NOWHERE = Assigned(NOT_KNOWN, NOT_KNOWN, 0.0, {})


@dataclass(frozen=True)
class SegmentModel:
    """Segments and how people are assigned to them."""

    segments: tuple[Segment, ...]
    weights: Weights
    method: str = ""
    """How they were found, such as ``kmeans 6``."""
    figures: Mapping[str, float] = field(default_factory=dict)
    dropped: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Of the segments, in the order of memberships."""
        return tuple(segment.key for segment in self.segments)

    @cached_property
    def by_key(self) -> Mapping[str, Segment]:
        """Segments by their keys."""
        return {segment.key: segment for segment in self.segments}

    @property
    def asks(self) -> bool:
        """Whether what people told takes part."""
        return bool(self.weights.told.any())

    def name_of(self, key: str) -> str:
        """A segment's name for people."""
        return self.by_key[key].name if key in self.by_key else "not known yet"

    def assign(self, state: UserState, demographics: Demographics = NOBODY) -> Assigned:
        """Where a person belongs, by their live state: a pure function, the same online, offline and in a rebuild."""
        label, incumbent, evidence, shares, _ = assign(
            state.history, told_signs(told_of(demographics)), self.weights
        )
        if label < 0:
            return NOWHERE
        return Assigned(
            self.keys[label],
            self.keys[incumbent],
            float(evidence),
            dict(zip(self.keys, shares.tolist(), strict=True)),
        )

    def labels(
        self, histories: Sequence[np.ndarray], told: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(n,) places of the segments of many histories, -1 for too little seen, and (n, K) memberships."""
        labels, shares = np.full(len(histories), -1), np.zeros((len(histories), len(self.segments)))
        nobody = told_signs(told_of(NOBODY))
        for place, history in enumerate(histories):
            own = nobody if told is None else told_signs(told[place])
            labels[place], _, _, shares[place], _ = assign(history, own, self.weights)
        return labels, shares

    def save(self, folder: Path) -> None:
        """Write ``segments.npz`` and ``segments.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {name: np.asarray(value) for name, value in self.weights._asdict().items()}
        np.savez(folder / "segments.npz", **arrays)
        said = {
            "format": FORMAT,
            "method": self.method,
            "signs": SIGNS,
            "figures": dict(self.figures),
            "dropped": dict(self.dropped),
            "segments": [asdict(segment) for segment in self.segments],
        }
        (folder / "segments.json").write_text(json.dumps(said, indent=2) + "\n", "utf-8")

    @classmethod
    def load(cls, folder: Path) -> "SegmentModel":
        """Read what :meth:`save` wrote.

        Raises:
            TailorbirdError: it is missing, damaged, or made for other signs than this version computes.
        """
        try:
            said: dict[str, Any] = json.loads((folder / "segments.json").read_text("utf-8"))
            with np.load(folder / "segments.npz", allow_pickle=False) as arrays:
                given = {name: arrays[name] for name in Weights._fields}
            segments = tuple(Segment(**{**each, "words": tuple(each["words"])}) for each in said["segments"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TailorbirdError(
                f"no segment model in {folder}: {error!r}",
                remedy="fit and promote one: tailorbird segments fit",
            ) from error
        if said["format"] != FORMAT or said["signs"] != SIGNS:
            raise TailorbirdError(
                f"the segment model in {folder} was made for other signs than this version computes",
                remedy="fit it again: tailorbird segments fit",
            )
        return cls(
            segments=segments,
            weights=weights_of(given),
            method=said["method"],
            figures=said["figures"],
            dropped=said["dropped"],
        )


def state_of_history(packed: bytes) -> UserState:
    """A profile of which only the packed history is known."""
    history = np.frombuffer(bytearray(packed), RECORD)
    return replace(UserState.empty(""), history=history, total=len(history))


def weights_of(given: Mapping[str, Any]) -> Weights:
    """Put in the types that compiled code knows."""
    numbers = {"slack", "margin", "least"}
    made: dict[str, Any] = {
        name: float(given[name]) if name in numbers else np.ascontiguousarray(given[name], np.float64)
        for name in Weights._fields
    }
    return Weights(**made)
