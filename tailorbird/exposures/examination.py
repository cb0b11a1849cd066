"""Examination: how likely people are to look at each place of a slate, as against the first; what makes a click there rarer than above.

The model is the position-based one (Richardson et al. 2007): a click is an item that is looked at and wanted, here as wanted as its score
says, by likelihood (Wang et al. 2018). Where chance put items into their places, these alone are read: what ranked them has no part in where
they stood (Joachims, Swaminathan, Schnabel 2017). Else differences between slates must do.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.isotonic import IsotonicRegression

BINS = 20
"""Scores are told apart by so many quantiles."""
ROUNDS = 200
LEAST_CLICKS = 50
"""Clicks on drawn items at every place from which on these alone decide."""
FLOOR = 0.02


@dataclass(frozen=True)
class Looked:
    """Shown items, one a row: ``places`` (n,) from 0, whether ``clicked``, with which ``propensities``, by which ``scores`` (n,)."""

    places: np.ndarray
    clicked: np.ndarray
    propensities: np.ndarray
    scores: np.ndarray

    def where(self, mask: np.ndarray) -> "Looked":
        """Some of the rows."""
        return Looked(self.places[mask], self.clicked[mask], self.propensities[mask], self.scores[mask])


@dataclass(frozen=True)
class Examination:
    """``chances`` (p,) of a look at each place over that of the first, never rising; ``how`` they were estimated."""

    chances: np.ndarray
    how: str

    def at(self, places: np.ndarray) -> np.ndarray:
        """(n,) float32; places beyond those that were ever clicked are looked at as the last of these."""
        found: np.ndarray = self.chances[np.minimum(places, len(self.chances) - 1)]
        return found.astype(np.float32)


ALWAYS = Examination(np.ones(1), "nothing was shown")
"""Every place is looked at: where nothing is known."""


def examination_of(looked: Looked) -> Examination:
    """Of what was drawn by chance where that suffices, else of everything; nothing clicked says nothing."""
    if not looked.clicked.any():
        return ALWAYS
    drawn = looked.propensities < 0.5
    places = np.bincount(looked.places[drawn & looked.clicked], minlength=int(looked.places.max()) + 1)
    if places.min() >= LEAST_CLICKS:
        return Examination(_falling(_by_likelihood(looked.where(drawn)), looked.places[drawn]), "by chance")
    return Examination(_falling(_by_likelihood(looked), looked.places), "by likelihood")


def _by_likelihood(looked: Looked) -> np.ndarray:
    """(p,) by expectation maximisation over the table of places and scores' quantiles."""
    edges = np.unique(np.quantile(looked.scores, np.linspace(0, 1, BINS + 1)[1:-1]))
    bins, count = np.searchsorted(edges, looked.scores), int(looked.places.max()) + 1
    cells = looked.places * (len(edges) + 1) + bins
    shape = count, len(edges) + 1
    shown = np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape).astype(float)
    clicks = np.bincount(cells, looked.clicked, shape[0] * shape[1]).reshape(shape)
    looks, wanted = np.full(count, 0.5), np.full(shape[1], 0.5)
    for _ in range(ROUNDS):
        neither = np.maximum(1.0 - np.outer(looks, wanted), 1e-9)
        ignored = shown - clicks
        unwanted = (clicks + ignored * looks[:, None] * (1.0 - wanted) / neither).sum(axis=1)
        unseen = (clicks + ignored * wanted * (1.0 - looks[:, None]) / neither).sum(axis=0)
        looks = unwanted / np.maximum(shown.sum(axis=1), 1e-9)
        wanted = unseen / np.maximum(shown.sum(axis=0), 1e-9)
    return looks


def _falling(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(p,) the nearest that never rises, over the first."""
    weights, at = np.bincount(places, minlength=len(values)), np.arange(len(values))
    fitted = IsotonicRegression(increasing=False).fit(at, values, sample_weight=weights).predict(at)
    return np.maximum(fitted / max(float(fitted[0]), 1e-9), FLOOR)
