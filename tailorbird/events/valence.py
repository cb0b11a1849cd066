"""Valence: how much one event speaks for its item or against it, by its type and its value. The only place that says so."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from tailorbird.errors import UsageError

PRESENCE: Mapping[str, float] = {
    "view": 1.0,
    "click": 1.0,
    "add_to_cart": 3.0,
    "purchase": 5.0,
    "rating": 1.0,
    "like": 3.0,
}
"""How much having met the item this way counts, whatever came of it; the item is *had* from then on.

Types that are absent (impression, search, custom ones …) say nothing of the item.
"""

AGAINST = -1.0
"""What a ``hide`` says; also the least that a rating can."""

Taste = Literal["valence", "presence"]
"""Whether an event counts for what it says of its item, or for having happened (published protocols on ratings do so)."""


@dataclass(frozen=True)
class RatingScale:
    """The least and the greatest rating that people can give; halfway between, a rating is neutral."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise UsageError(
                f"rating scale {self.low:g} to {self.high:g} has no middle",
                remedy="give the least and the greatest rating, such as 1-5",
            )

    @classmethod
    def parse(cls, text: str) -> "RatingScale":
        """Read ``low-high``, such as ``1-5`` or ``0-100``. Raises UsageError."""
        try:
            low, high = (float(part) for part in text.split("-"))
        except ValueError as error:
            raise UsageError(f"{text!r} is no rating scale", remedy="write it as low-high: 1-5") from error
        return cls(low, high)

    @property
    def neutral(self) -> float:
        """The rating that says neither yes nor no."""
        return (self.low + self.high) / 2

    def rated(self, event_type: str, value: float | None) -> float:
        """What an event's value counts for: a rating beyond the scale is its end, others count as they are; NaN for None."""
        if value is None:
            return math.nan
        return min(max(value, self.low), self.high) if event_type == "rating" else value

    def rated_many(self, types: pd.Series, values: np.ndarray) -> np.ndarray:
        """(n,) :meth:`rated` of events by their types and values (NaN: none)."""
        ratings = (types == "rating").to_numpy(bool)
        return np.where(ratings, np.clip(values, self.low, self.high), values)


FIVE_STARS = RatingScale(1.0, 5.0)


def strength(event_type: str, value: float | None, *, scale: RatingScale = FIVE_STARS) -> float:
    """How much one event speaks for its item; negative: against it.

    A rating counts 1.5 at the top of its scale, 0.5 where it is neutral, 0 a quarter below, and speaks against its item
    from there on; of one to five stars, four count as much as a view and two as nothing. One without a value says that
    they met. A purchase of a negative amount is a return: it takes the purchase back.
    """
    if event_type == "hide":
        return AGAINST
    known = value is not None and math.isfinite(value)
    if event_type == "rating" and known:
        said = (value - scale.neutral) / (scale.high - scale.neutral)  # type: ignore[operator]
        return max(AGAINST, 0.5 + min(1.0, max(-1.0, said)))
    if event_type == "purchase" and known and value < 0:  # type: ignore[operator]
        return -PRESENCE["purchase"]
    return PRESENCE.get(event_type, 0.0)


def strengths(types: pd.Series, values: pd.Series | None, *, scale: RatingScale = FIVE_STARS) -> np.ndarray:
    """(n,) float32 :func:`strength` of events by their types and values (None: no event has one)."""
    found = presences(types).astype(np.float64)
    found[(types == "hide").to_numpy(bool)] = AGAINST
    if values is None:
        return found.astype(np.float32)
    value = pd.to_numeric(values).to_numpy(np.float64, na_value=np.nan)
    known = np.isfinite(value)
    rated = (types == "rating").to_numpy(bool) & known
    said = (value[rated] - scale.neutral) / (scale.high - scale.neutral)
    found[rated] = np.maximum(AGAINST, 0.5 + np.clip(said, -1.0, 1.0))
    returned = (types == "purchase").to_numpy(bool) & known & (value < 0)
    found[returned] = -PRESENCE["purchase"]
    return found.astype(np.float32)


def presences(types: pd.Series) -> np.ndarray:
    """(n,) float32 what each event counts for having happened."""
    return types.map(PRESENCE).fillna(0.0).to_numpy(np.float32)
