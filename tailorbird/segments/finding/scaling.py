"""From evidence to coordinates in which people are told apart: shrunk, standardised, without what is chance or said twice.

A ratio of few events is mostly chance, so it is drawn towards everybody's by as many pseudo-events as the data ask for
(empirical Bayes; Efron and Morris 1975). How much of a trait is the person and how much chance is read from two halves of
each person's visits: what the halves share is the person. Directions in which the halves agree most (canonical reliability;
Conger and Lipshitz 1973) become the coordinates.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

LEAST_RELIABILITY = 0.2
"""A trait of which less than this share tells the person, and not chance, is dropped; so is such a direction."""
REDUNDANT = 0.95
"""Of two traits that correlate more than this, the less reliable one is dropped."""
FURTHEST = 4.0
"""Standard deviations at which a coordinate ends: one odd value must not make a segment."""
MOST_STRENGTH = 1_000.0
MOST_RELIABILITY = 0.9
"""Nothing counts as more reliable than this: a direction without any chance in it would outweigh all others."""


@dataclass(frozen=True)
class Scaling:
    """How evidence becomes coordinates; ``prior``, ``strength`` and ``share`` are of all F traits, the rest of the c ``chosen`` ones.

    ``center`` and ``scale`` (c,) standardise, ``projection`` (c, q) leads to the coordinates. ``reliability`` (F,) is the share
    of a trait that tells the person; ``dropped`` says of each trait left out why.
    """

    names: tuple[str, ...]
    share: np.ndarray
    prior: np.ndarray
    strength: np.ndarray
    chosen: np.ndarray
    center: np.ndarray
    scale: np.ndarray
    projection: np.ndarray
    reliability: np.ndarray
    dropped: Mapping[str, str]

    @classmethod
    def learn(
        cls,
        whole: np.ndarray,
        halves: tuple[np.ndarray, np.ndarray],
        names: Sequence[str],
        *,
        means: Set[str],
    ) -> "Scaling":
        """Learn from ``whole`` (n, F, 2), the evidence of n people, and from the ``halves`` of their visits, likewise.

        All traits are shares but for ``means``.
        """
        prior, strength, reliability, dropped = _traits(whole, halves, names)
        share = np.array([name not in means for name in names])
        shrunk = evened(shrink(whole, prior, strength), share)  # (n, F)
        center, spread = shrunk.mean(axis=0), shrunk.std(axis=0)
        chosen = _chosen(shrunk, reliability, names, dropped)
        here = cls(
            names=tuple(names),
            share=share,
            prior=prior,
            strength=strength,
            chosen=chosen,
            center=center[chosen],
            scale=np.maximum(spread[chosen], 1e-9),
            projection=np.eye(len(chosen)),
            reliability=reliability,
            dropped=dropped,
        )
        return here._projected(whole, halves)

    @property
    def kept(self) -> tuple[str, ...]:
        """Names of the chosen traits."""
        return tuple(self.names[place] for place in self.chosen)

    def traits(self, evidence: np.ndarray) -> np.ndarray:
        """(n, F) shrunk ratios of evidence (n, F, 2): what people read."""
        return shrink(evidence, self.prior, self.strength)

    def standardised(self, evidence: np.ndarray) -> np.ndarray:
        """(n, c) the chosen traits in standard deviations from everybody's mean."""
        z = (evened(self.traits(evidence), self.share)[:, self.chosen] - self.center) / self.scale
        return np.clip(z, -FURTHEST, FURTHEST)

    def coordinates(self, evidence: np.ndarray) -> np.ndarray:
        """(n, q) coordinates of evidence (n, F, 2)."""
        found: np.ndarray = self.standardised(evidence) @ self.projection
        return found

    def _projected(self, whole: np.ndarray, halves: tuple[np.ndarray, np.ndarray]) -> "Scaling":
        from dataclasses import replace

        if not len(self.chosen):
            return self
        enough = (halves[0][:, 0, 1] > 0) & (halves[1][:, 0, 1] > 0)
        if enough.sum() < 3 * len(self.chosen):
            return self
        one, other = (self.standardised(half[enough]) for half in halves)
        both = self.standardised(whole[enough])
        total = np.cov(both.T).reshape(len(self.chosen), -1) + 1e-6 * np.eye(len(self.chosen))
        one, other = one - one.mean(axis=0), other - other.mean(axis=0)
        shared = (one.T @ other) / max(1, len(one) - 1)
        shared = (shared + shared.T) / 2.0
        # Half of the visits tell half as much: what the whole shares with itself is more (Spearman and Brown).
        chance = np.cov(((one - other) / 2.0).T).reshape(len(self.chosen), -1)
        chance += 1e-3 * np.eye(len(self.chosen))
        root = np.linalg.inv(np.linalg.cholesky(chance))
        values, vectors = np.linalg.eigh(root @ shared @ root.T)
        order = np.argsort(-values, kind="stable")
        values, vectors = values[order], vectors[:, order]
        good = values / (values + 1.0) >= LEAST_RELIABILITY
        if not good.any():
            good[0] = True
        directions = (root.T @ vectors)[:, good]  # unit chance variance in each
        spread = np.sqrt(np.einsum("cq,cd,dq->q", directions, total, directions))
        most = np.sqrt(1.0 / (1.0 - MOST_RELIABILITY))
        directions = directions / np.maximum(1.0, spread / most)
        return replace(self, projection=directions)


def shrink(evidence: np.ndarray, prior: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """(n, F) ratios of (n, F, 2), each drawn towards ``prior`` by ``strength`` pseudo-events."""
    ratios: np.ndarray = (evidence[..., 0] + strength * prior) / (evidence[..., 1] + strength)
    return ratios


def evened(traits: np.ndarray, share: np.ndarray) -> np.ndarray:
    """(n, F) traits with shares spread evenly: a step near none or all means more than one in the middle (Anscombe 1948)."""
    return np.where(share, np.arcsin(np.sqrt(np.clip(traits, 0.0, 1.0))), traits)


def _traits(
    whole: np.ndarray, halves: tuple[np.ndarray, np.ndarray], names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, str]]:
    """Prior, strength and reliability of each trait, (F,) each, and why some are no use."""
    count = len(names)
    prior, strength, reliability = np.zeros(count), np.full(count, MOST_STRENGTH), np.zeros(count)
    dropped: dict[str, str] = {}
    for place, name in enumerate(names):
        known = whole[:, place, 1] > 0
        if not known.any():
            dropped[name] = "nobody's is known"
            continue
        top, bottom = whole[known, place, 0], whole[known, place, 1]
        prior[place] = top.sum() / bottom.sum()
        a, b = (half[:, place] for half in halves)
        both = (a[:, 1] > 0) & (b[:, 1] > 0)
        if np.ptp(top / bottom) < 1e-9 or both.sum() < 8:
            dropped[name] = "all alike" if np.ptp(top / bottom) < 1e-9 else "too few people show it twice"
            continue
        one, other = a[both, 0] / a[both, 1], b[both, 0] / b[both, 1]
        weight = a[both, 1] * b[both, 1] / (a[both, 1] + b[both, 1])
        chance = float(np.mean(weight * (one - other) ** 2))  # variance of a ratio of one event
        middle = (weight @ (one + other)) / (2.0 * weight.sum())
        person = float((weight @ ((one - middle) * (other - middle))) / weight.sum())
        if person <= 0:
            dropped[name] = "tells chance, not people"
            continue
        strength[place] = min(MOST_STRENGTH, max(1e-3, chance / person))
        share = bottom / (bottom + strength[place])
        prior[place] = float((share @ (top / bottom)) / share.sum())
        reliability[place] = float(np.mean(whole[:, place, 1] / (whole[:, place, 1] + strength[place])))
        if reliability[place] < LEAST_RELIABILITY:
            dropped[name] = f"tells chance more than people (reliability {reliability[place]:.2f})"
    return prior, strength, reliability, dropped


def _chosen(
    shrunk: np.ndarray, reliability: np.ndarray, names: Sequence[str], dropped: dict[str, str]
) -> np.ndarray:
    """The traits that are used, in their order; a redundant one goes into ``dropped``."""
    useful = [
        place for place in np.argsort(-reliability, kind="stable").tolist() if names[place] not in dropped
    ]
    kept: list[int] = []
    for place in useful:
        for before in kept:
            if abs(np.corrcoef(shrunk[:, place], shrunk[:, before])[0, 1]) > REDUNDANT:
                dropped[names[place]] = f"says what {names[before]} says"
                break
        else:
            kept.append(place)
    return np.array(sorted(kept), np.int64)
