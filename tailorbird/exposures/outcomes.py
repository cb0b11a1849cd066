"""What followed what was shown: each exposure with the gain of each of its items, joined by the recommendation id."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

from tailorbird.exposures.examination import Examination, Looked, examination_of
from tailorbird.exposures.exposure import LIST, Exposure

SETTLED_SECONDS = 3_600.0
"""By then nearly all that follows a slate has followed."""
OUTCOMES = ("click", "add_to_cart", "purchase", "hide")
"""Types of events that may follow an item that was shown."""
Followed = tuple[str, str, str, float]
"""An event that names the answer it followed: recommendation id, item id, type, when it was received (epoch seconds)."""
Told = Mapping[tuple[str, str], Sequence[tuple[float, str]]]
"""By recommendation id and item id what followed: when that was known, and its type."""


@dataclass(frozen=True)
class Shown:
    """Exposures, oldest first, each with what followed its n items.

    ``gains`` (n,) are what that is worth: 0 of what was passed over, below 0 of what was hidden. ``outcomes`` (n, len(OUTCOMES)) bool
    say which types of events followed.
    """

    exposures: tuple[Exposure, ...]
    gains: tuple[np.ndarray, ...]
    outcomes: tuple[np.ndarray, ...]
    worth: Mapping[str, float] = field(default_factory=dict, repr=False)
    told: Told = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls, exposures: Iterable[Exposure], events: Iterable[Followed], *, worth: Mapping[str, float]
    ) -> "Shown":
        """Join; an item's gain is that of the best that followed, but a ``hide`` (worth below 0) overrules all."""
        told: dict[tuple[str, str], list[tuple[float, str]]] = {}
        for recommendation_id, item_id, kind, received in events:
            if worth.get(kind, 0.0):
                told.setdefault((recommendation_id, item_id), []).append((received, kind))
        ordered = sorted(exposures, key=lambda each: (each.instant, each.recommendation_id))
        return cls._known(ordered, told, worth, before=np.inf)

    @classmethod
    def _known(
        cls, exposures: Sequence[Exposure], told: Told, worth: Mapping[str, float], *, before: float
    ) -> "Shown":
        gains, outcomes = [], []
        for each in exposures:
            kinds = [
                {kind for received, kind in told.get((each.recommendation_id, item), ()) if received < before}
                for item in each.items
            ]
            gains.append(np.array([_gain([worth[kind] for kind in found]) for found in kinds], np.float32))
            flags = [[kind in found for kind in OUTCOMES] for found in kinds]
            outcomes.append(np.array(flags, np.bool_).reshape(len(kinds), len(OUTCOMES)))
        return cls(tuple(exposures), tuple(gains), tuple(outcomes), worth, told)

    def __len__(self) -> int:
        return len(self.exposures)

    def before(self, instant: float) -> "Shown":
        """Those whose outcome was known before ``instant`` (epoch seconds), with no more than was known then."""
        count = sum(each.instant < instant - SETTLED_SECONDS for each in self.exposures)
        return self._known(self.exposures[:count], self.told, self.worth, before=instant)

    @property
    def digest(self) -> str:
        """Names what is learned from: changes with any slate and any gain."""
        found = blake2b(digest_size=8)
        for exposure, gains in zip(self.exposures, self.gains, strict=True):
            found.update(exposure.recommendation_id.encode() + gains.tobytes())
        return found.hexdigest()

    @property
    def examination(self) -> Examination:
        """How likely each place is looked at, by all that a model ranked."""
        ranked = [by_model(each) for each in self.exposures]
        return examination_of(
            Looked(
                _joined(
                    [
                        np.arange(n) + each.first_position
                        for each, n in zip(self.exposures, ranked, strict=True)
                    ],
                    np.int64,
                ),
                _joined([gains[:n] > 0 for gains, n in zip(self.gains, ranked, strict=True)], np.bool_),
                _joined(
                    [each.propensities[:n] for each, n in zip(self.exposures, ranked, strict=True)],
                    np.float64,
                ),
                _joined(
                    [each.scores[:n] for each, n in zip(self.exposures, ranked, strict=True)], np.float64
                ),
            )
        )


def by_model(exposure: Exposure) -> int:
    """How many of an exposure's items, its first, a model ranked; lists filled in the others."""
    lists = [place for place, name in enumerate(exposure.source_names) if name.startswith(LIST)]
    filled = (exposure.ranks[:, lists] >= 0).any(axis=1) if lists else np.zeros(len(exposure.items), bool)
    return int(np.argmax(filled)) if filled.any() else len(exposure.items)


def _gain(known: Sequence[float]) -> float:
    least = min(known, default=0.0)
    return least if least < 0 else max(known, default=0.0)


def _joined(parts: Sequence[np.ndarray], kind: type) -> np.ndarray:
    return np.concatenate([np.zeros(0, kind), *parts]).astype(kind)
