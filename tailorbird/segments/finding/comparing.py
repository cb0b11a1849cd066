"""Comparing groupings: how separate their groups are, whether they come again in resamples, whether anybody can be assigned."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tailorbird.segments.finding.clusterings import SMALLEST, Gaussians, Grouping, Method, methods

SAMPLE = 10_000
"""People that quadratic measures and methods see."""
RESAMPLES = 12
STABLE, EXTENDS = 0.8, 0.95
"""A proposal comes again in resamples at this adjusted Rand index, and its extension agrees with it on so many held out."""
ALONE = 20_000
"""Fewer people are grouped by one thread: several wait for each other longer than they work."""
MOST_NOISE = 0.3
DEGREES = 60
"""Silhouettes of so many points of each group are kept for the plot."""


@dataclass(frozen=True)
class Candidate:
    """One grouping, judged: a number to choose it by, and its figures.

    ``labels`` (n,) and ``sample`` (n,) are of the people of the sample; ``noise`` their share in no group.
    """

    number: int
    method: Method
    gaussians: Gaussians
    sample: np.ndarray
    labels: np.ndarray
    silhouette: float
    davies_bouldin: float
    stability: float
    extension: float
    noise: float
    sizes: tuple[float, ...]
    silhouettes: np.ndarray = field(repr=False)
    """(n,) of the people of the sample."""

    @property
    def groups(self) -> int:
        """How many groups."""
        return len(self.gaussians)

    @property
    def sound(self) -> bool:
        """Whether it may be proposed: stable, extensible, with no group too small and few people in none."""
        return (
            self.groups >= 2
            and self.stability >= STABLE
            and self.extension >= EXTENDS
            and self.noise <= MOST_NOISE
            and min(self.sizes) >= SMALLEST
        )

    def figures(self) -> dict[str, float]:
        """What a table and a run show."""
        return {
            "groups": self.groups,
            "silhouette": self.silhouette,
            "davies_bouldin": self.davies_bouldin,
            "stability": self.stability,
            "extension": self.extension,
            "noise": self.noise,
            "smallest": min(self.sizes, default=0.0),
        }


def compare(
    y: np.ndarray,
    *,
    sizes: range = range(2, 13),
    seed: int = 0,
    advance: Callable[[str], object] = lambda method: None,
) -> list[Candidate]:
    """Group coordinates (n, Q) by every method and judge what comes out; methods that find fewer than two groups are left out."""
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(seed)
    sample = np.sort(rng.permutation(len(y))[:SAMPLE])
    found: list[Candidate] = []
    with threadpool_limits(1 if len(y) < ALONE else None):
        for method in methods(sizes, people=len(sample), neighbours=_distances(y[sample])):
            advance(method.words)
            candidate = _judged(method, y, sample, number=len(found) + 1, seed=seed)
            if candidate is not None:
                found.append(candidate)
    return found


def propose(candidates: Sequence[Candidate]) -> Candidate | None:
    """The best of the sound ones by stability, silhouette and Davies-Bouldin index together, each against the best there is.

    Any one of them alone errs: few groups are often stable, many are often compact.
    """
    sound = [each for each in candidates if each.sound and each.silhouette > 0]
    if not sound:
        return None
    stable = max(each.stability for each in sound)
    separate = max(_separation(each) for each in sound)
    compact = min(each.davies_bouldin for each in sound)

    def merit(each: Candidate) -> float:
        return each.stability / stable + _separation(each) / separate + compact / each.davies_bouldin

    return max(sound, key=merit)


def _separation(candidate: Candidate) -> float:
    """The silhouette, in which whoever is in no group counts as lying between two."""
    return candidate.silhouette * (1.0 - candidate.noise)


def _judged(method: Method, y: np.ndarray, sample: np.ndarray, *, number: int, seed: int) -> Candidate | None:
    from sklearn.metrics import davies_bouldin_score, silhouette_samples

    seen = y[sample] if method.quadratic else y
    try:
        whole = method.group(seen, seed)
    except ValueError:  # fewer distinct people than groups
        return None
    if len(whole.gaussians) < 2:
        return None
    labels = whole.labels if method.quadratic else whole.labels[sample]
    grouped = labels >= 0
    if len(np.unique(labels[grouped])) < 2:
        return None
    near = np.full(len(labels), np.nan)
    near[grouped] = silhouette_samples(y[sample][grouped], labels[grouped])
    sizes = np.bincount(whole.gaussians.labels(y), minlength=len(whole.gaussians)) / len(y)
    return Candidate(
        number=number,
        method=method,
        gaussians=whole.gaussians,
        sample=sample,
        labels=labels,
        silhouette=float(np.nanmean(near)),
        davies_bouldin=float(davies_bouldin_score(y[sample][grouped], labels[grouped])),
        stability=_stability(method, y, sample, whole.gaussians, seed=seed),
        extension=_extension(method, seen, whole, seed=seed),
        noise=float((~grouped).mean()),
        sizes=tuple(sizes.tolist()),
        silhouettes=near,
    )


def _stability(
    method: Method, y: np.ndarray, sample: np.ndarray, gaussians: Gaussians, *, seed: int
) -> float:
    """Mean adjusted Rand index between the grouping and those of bootstrap resamples, all extended to the sample."""
    from sklearn.metrics import adjusted_rand_score

    seen, agreements = y[sample], []
    labels = gaussians.labels(seen)
    for turn in range(RESAMPLES):
        rng = np.random.default_rng([seed, turn])
        again = method.group(seen[rng.integers(len(seen), size=len(seen))], seed + turn + 1)
        agreements.append(
            adjusted_rand_score(labels, again.gaussians.labels(seen)) if len(again.gaussians) else 0.0
        )
    return float(np.mean(agreements))


def _extension(method: Method, seen: np.ndarray, whole: Grouping, *, seed: int) -> float:
    """How many held-out people are assigned where the method itself puts them, by Gaussians that never saw them."""
    from tailorbird.segments.finding.clusterings import distilled

    if not method.quadratic:
        return float((whole.gaussians.labels(seen) == whole.labels).mean())
    out = np.random.default_rng([seed, 99]).random(len(seen)) < 0.2
    told = distilled(seen[~out], whole.labels[~out]).gaussians
    if len(told) != len(whole.gaussians):
        return 0.0
    asked = out & (whole.labels >= 0)
    return float((told.labels(seen[asked]) == whole.labels[asked]).mean()) if asked.any() else 0.0


def _distances(y: np.ndarray) -> np.ndarray:
    """Distances to the 2Q-th neighbour that a half, three and nine tenths of the people stay within."""
    from sklearn.neighbors import NearestNeighbors

    among = min(len(y) - 1, 2 * y.shape[1])
    if among < 1:
        return np.zeros(0)
    far = NearestNeighbors(n_neighbors=among).fit(y).kneighbors()[0][:, -1]
    return np.quantile(far, [0.5, 0.75, 0.9])
