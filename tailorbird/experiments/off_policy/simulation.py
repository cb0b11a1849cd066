"""Simulated logs whose truth is known: how often do the intervals of each estimator cover it, and how wide are they."""

from dataclasses import dataclass

import numpy as np

from tailorbird.experiments.off_policy.estimators import estimate_all, weights_of
from tailorbird.experiments.off_policy.logs import Log, Target

ESTIMATORS = ("ips", "snips", "dr")


@dataclass(frozen=True)
class World:
    """Two policies (positions, actions) over actions with known chances of a reward (positions, actions)."""

    logging: np.ndarray
    target: np.ndarray
    chances: np.ndarray

    @property
    def truth(self) -> float:
        """The target's value, its positions filled alike."""
        return float((self.target * self.chances).sum(axis=1).mean())

    @classmethod
    def make(cls, seed: int, *, positions: int = 3, actions: int = 20, rate: float = 0.05) -> "World":
        """A world whose two policies prefer different actions, the target better ones."""
        rng = np.random.default_rng(seed)
        taste = rng.normal(size=(positions, actions))
        chances = rate * np.exp(0.5 * taste) / np.exp(0.5 * taste).mean()
        return cls(
            logging=_softmax(0.6 * rng.normal(size=(positions, actions))),
            target=_softmax(0.7 * taste + 0.5 * rng.normal(size=(positions, actions))),
            chances=chances,
        )

    def logs(self, rows: int, rng: np.random.Generator) -> tuple[Log, Target]:
        """A log of ``rows`` choices, and as many of the target's."""
        positions, actions = self._chosen(self.logging, rows, rng)
        reward = (rng.random(rows) < self.chances[positions, actions]).astype(float)
        log = Log(actions, positions, self.logging[positions, actions], reward)
        theirs, chosen = self._chosen(self.target, rows, rng)
        counts = np.bincount(theirs * self.target.shape[1] + chosen, minlength=self.target.size)
        return log, Target(counts.reshape(self.target.shape))

    def _chosen(
        self, policy: np.ndarray, rows: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        positions = rng.integers(0, len(policy), rows)
        reached = policy.cumsum(axis=1)[positions]
        actions = (reached < rng.random((rows, 1))).sum(axis=1)
        return positions, np.minimum(actions, policy.shape[1] - 1)


@dataclass(frozen=True)
class Coverage:
    """Of ``logs`` simulated logs: how often each estimator's interval covered, its mean width over the truth, its bias over it."""

    logs: int
    covered: dict[str, float]
    width: dict[str, float]
    bias: dict[str, float]
    effective_share: float


def coverage(*, logs: int, rows: int = 10_000, rate: float = 0.05, seed: int = 0) -> Coverage:
    """Simulate ``logs`` logs, each of a world of its own."""
    hits, widths, errors, effective = ({name: [] for name in ESTIMATORS} for _ in range(4))  # type: ignore[var-annotated]
    for at in range(logs):
        world = World.make(seed * 1_000_003 + at, rate=rate)
        log, target = world.logs(rows, np.random.default_rng((seed, at)))
        weights = weights_of(log, target)
        for found in estimate_all(log, target, weights):
            low, high = found.interval
            hits[found.name].append(low <= world.truth <= high)
            widths[found.name].append((high - low) / world.truth)
            errors[found.name].append(found.value / world.truth - 1)
            effective[found.name].append(weights.effective_size / rows)

    def means(values: dict[str, list[float]]) -> dict[str, float]:
        return {name: float(np.mean(each)) for name, each in values.items()}

    return Coverage(logs, means(hits), means(widths), means(errors), means(effective)["ips"])


def _softmax(scores: np.ndarray) -> np.ndarray:
    weights = np.exp(scores)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
