"""Bootstrap intervals over users: a user's cases hang together, so whole users are drawn (Field, Welsh 2007)."""

from dataclasses import dataclass

import numpy as np

DRAWS = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean and its bootstrap interval; NaN where there was nothing to average."""

    mean: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """Return plain numbers, for JSON."""
        return {"mean": self.mean, "low": self.low, "high": self.high}


def clustered_intervals(
    values: np.ndarray, *, clusters: np.ndarray, draws: int = DRAWS, level: float = LEVEL, seed: int = 0
) -> list[Interval]:
    """Compute the mean of each column and its percentile interval, drawing clusters with replacement.

    ``values`` (n, m) one row a case, NaN where a case has no value; ``clusters`` (n,) the user of each
    case, any labels ▸ m intervals. Users with more cases weigh more, as they do in the mean. Needs O(n +
    draws * users) time.
    """
    values = np.asarray(values, float)
    if not len(values):
        return [Interval(np.nan, np.nan, np.nan) for _ in range(values.shape[1])]
    means, replicas = _replicas(values, clusters=clusters, draws=draws, seed=seed)
    tail = (1 - level) / 2
    low, high = np.nanquantile(replicas, [tail, 1 - tail], axis=0) if draws else (means, means)
    return [Interval(*map(float, row)) for row in zip(means, low, high, strict=True)]


def paired_difference(
    challenger: np.ndarray,
    champion: np.ndarray,
    *,
    clusters: np.ndarray,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Compute the mean of ``challenger - champion`` over the same cases (n,), with its interval over users."""
    difference = np.asarray(challenger, float) - np.asarray(champion, float)
    return clustered_intervals(difference[:, None], clusters=clusters, draws=draws, level=level, seed=seed)[0]


def _replicas(
    values: np.ndarray, *, clusters: np.ndarray, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the means (m,) and the means of each draw (draws, m)."""
    _, user = np.unique(clusters, return_inverse=True)
    users = int(user.max()) + 1
    there = np.isfinite(values)
    known = np.where(there, values, 0.0)
    sums = np.stack([np.bincount(user, column, users) for column in known.T], axis=1)  # (users, m)
    counts = np.stack([np.bincount(user, column, users) for column in there.T], axis=1)  # (users, m)
    rng = np.random.default_rng(seed)
    replicas = np.empty((draws, values.shape[1]))
    chunk = max(1, 2**22 // users)
    with np.errstate(invalid="ignore"):  # a column without values has no mean: NaN
        for start in range(0, draws, chunk):
            size = min(chunk, draws - start)
            drawn = rng.integers(0, users, size=(size, users)) + users * np.arange(size)[:, None]
            often = np.bincount(drawn.ravel(), minlength=size * users).reshape(size, users).astype(float)
            replicas[start : start + size] = (often @ sums) / (often @ counts)
        return sums.sum(axis=0) / counts.sum(axis=0), replicas
