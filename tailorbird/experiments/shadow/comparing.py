"""How the answer of a shadow compares with that of the champion to the same question."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tailorbird.slate.query import Slate
from tailorbird.slate.recommender import COLD_START

MOST_CORRELATED = 100
"""Items of a slate whose order is compared: pairs are looked at one by one."""


class Sums(NamedTuple):
    """What is added up over answers; of a single one, what it adds. ``control`` is the champion."""

    asked: float = 0.0
    """Questions that the shadow got."""
    missing: float = 0.0
    """Of these, those for which it had no version at hand."""
    failed: float = 0.0
    """Its model failed."""
    control_failed: float = 0.0
    fallbacks: float = 0.0
    """Lists filled what its model left."""
    control_fallbacks: float = 0.0
    compared: float = 0.0
    """Both models answered; the sums from here on are of these."""
    overlap: float = 0.0
    """Share of the places whose item is in both slates, wherever it stands there."""
    same_first: float = 0.0
    correlated: float = 0.0
    """Slates that have two items in common, at least."""
    correlation: float = 0.0
    """Kendall's tau over the items that both have."""
    seconds: float = 0.0
    """Processor time of its answers."""
    control_seconds: float = 0.0
    log_ratio: float = 0.0
    """Natural logarithm of its seconds over the champion's."""

    def plus(self, other: "Sums") -> "Sums":
        """Both together."""
        return Sums(*(one + another for one, another in zip(self, other, strict=True)))


MISSING = Sums(asked=1.0, missing=1.0)


def compared(shadow: Slate, control: Slate, *, seconds: float, control_seconds: float) -> Sums:
    """Compare two answers to one question, and the processor's seconds that each took."""
    found = Sums(
        asked=1.0,
        failed=float(bool(shadow.failure)),
        control_failed=float(bool(control.failure)),
        fallbacks=float(_fell_back(shadow)),
        control_fallbacks=float(_fell_back(control)),
    )
    ours, theirs = ([item.item_id for item in each.items] for each in (shadow, control))
    if shadow.failure or control.failure or not ours or not theirs:
        return found
    places = max(len(ours), len(theirs))
    tau = kendall(ours[:MOST_CORRELATED], theirs[:MOST_CORRELATED])
    return found._replace(
        compared=1.0,
        overlap=len(set(ours) & set(theirs)) / places,
        same_first=float(ours[0] == theirs[0]),
        correlated=float(tau is not None),
        correlation=tau or 0.0,
        seconds=seconds,
        control_seconds=control_seconds,
        log_ratio=math.log(max(seconds, 1e-9) / max(control_seconds, 1e-9)),
    )


def kendall(one: Sequence[str], another: Sequence[str]) -> float | None:
    """Kendall's tau of the order of the items that both have, 1 for the same to -1 for the opposite; None of fewer than two.

    >>> kendall(["a", "b", "c"], ["c", "x", "a", "b"])
    -0.3333333333333333
    """
    at = {item: place for place, item in enumerate(another)}
    places = np.array([at[item] for item in one if item in at])
    count = len(places)
    if count < 2:
        return None
    before = np.triu(
        np.sign(places[None, :] - places[:, None]), 1
    )  # (n, n) whether a later item stands later there, too
    return float(before.sum() / (count * (count - 1) / 2))


def _fell_back(slate: Slate) -> bool:
    return slate.fallback not in ("", COLD_START)
