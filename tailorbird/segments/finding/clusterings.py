"""Ways to find groups among coordinates, each brought to one form: Gaussians, to which anybody can be assigned at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

SMALLEST = 0.01
"""Groups that hold a smaller share of the people are noise."""


@dataclass(frozen=True)
class Gaussians:
    """K groups: ``means`` (K, Q), ``whitening`` (K, Q, Q), ``bias`` (K,): see segments.assigning.Weights."""

    means: np.ndarray
    whitening: np.ndarray
    bias: np.ndarray

    def __len__(self) -> int:
        return len(self.means)

    def scores(self, y: np.ndarray) -> np.ndarray:
        """(n, K) log of weight times density of coordinates (n, Q), up to one constant."""
        found = np.empty((len(y), len(self)))
        for k in range(len(self)):
            along = (y - self.means[k]) @ self.whitening[k].T
            found[:, k] = self.bias[k] - 0.5 * np.einsum("nq,nq->n", along, along)
        return found

    def labels(self, y: np.ndarray) -> np.ndarray:
        """(n,) the group of each of (n, Q)."""
        found: np.ndarray = self.scores(y).argmax(axis=1)
        return found


@dataclass(frozen=True)
class Grouping:
    """What one method found: ``labels`` (n,), -1 noise, and the Gaussians that stand for it."""

    labels: np.ndarray
    gaussians: Gaussians


@dataclass(frozen=True)
class Method:
    """One way to group, with its parameters; ``group`` takes (n, Q) and a seed."""

    name: str
    parameters: Mapping[str, float]
    group: Callable[[np.ndarray, int], Grouping]
    quadratic: bool = False
    """Whether its cost grows with the square of the people: it then sees a sample."""

    @property
    def words(self) -> str:
        """Name and parameters."""
        return " ".join([self.name, *(f"{key}={value:g}" for key, value in self.parameters.items())])


def methods(sizes: range, *, people: int, neighbours: np.ndarray) -> list[Method]:
    """Every method over its sizes and densities; ``neighbours`` are typical distances to the nearest ones, for DBSCAN."""
    found = [Method("kmeans", {"k": k}, _with(kmeans, k)) for k in sizes]
    found += [Method("gaussian mixture", {"k": k}, _with(mixture, k)) for k in sizes]
    for share in (0.01, 0.02, 0.04):
        least = max(8, round(share * people))
        found.append(Method("hdbscan", {"smallest": least}, _with(hdbscan, least), quadratic=True))
    for distance in np.unique(np.round(neighbours, 3)):
        if distance > 0:
            found.append(
                Method("dbscan", {"distance": distance}, _with(dbscan, float(distance)), quadratic=True)
            )
    return found


def kmeans(y: np.ndarray, seed: int, k: int) -> Grouping:
    """K-Means (Lloyd 1982, started by k-means++): nearest of k centroids."""
    from sklearn.cluster import KMeans

    fitted = KMeans(k, n_init=4, random_state=seed).fit(y)
    within = max(1e-12, float(fitted.inertia_) / max(1, y.size))
    whitening = np.broadcast_to(np.eye(y.shape[1]) / np.sqrt(within), (k, y.shape[1], y.shape[1])).copy()
    return Grouping(fitted.labels_, Gaussians(fitted.cluster_centers_, whitening, np.zeros(k)))


def mixture(y: np.ndarray, seed: int, k: int) -> Grouping:
    """A mixture of k Gaussians, each with its own covariance (Dempster, Laird and Rubin 1977)."""
    from sklearn.mixture import GaussianMixture

    fitted = GaussianMixture(k, reg_covar=1e-3, tol=1e-2, max_iter=100, random_state=seed)
    labels = fitted.fit_predict(y)
    whitening = np.transpose(fitted.precisions_cholesky_, (0, 2, 1)).copy()
    volume = np.log(np.abs(np.einsum("kqq->kq", whitening))).sum(axis=1)
    bias = np.log(np.maximum(fitted.weights_, 1e-12)) + volume
    return Grouping(labels, Gaussians(fitted.means_, whitening, bias))


def hdbscan(y: np.ndarray, seed: int, smallest: int) -> Grouping:
    """HDBSCAN (Campello, Moulavi and Sander 2013), distilled to Gaussians."""
    from sklearn.cluster import HDBSCAN

    found = HDBSCAN(min_cluster_size=smallest, min_samples=max(5, smallest // 4), copy=True).fit_predict(y)
    return distilled(y, found)


def dbscan(y: np.ndarray, seed: int, distance: float) -> Grouping:
    """DBSCAN (Ester et al. 1996), distilled to Gaussians."""
    from sklearn.cluster import DBSCAN

    return distilled(y, DBSCAN(eps=distance, min_samples=2 * y.shape[1]).fit_predict(y))


def distilled(y: np.ndarray, labels: np.ndarray) -> Grouping:
    """Gaussians that stand for ``labels`` (n,): methods of density cannot assign anybody new by themselves. Few are noise."""
    names, counts = np.unique(labels[labels >= 0], return_counts=True)
    names = names[counts >= max(y.shape[1] + 2, SMALLEST * len(y))]
    place = {name: number for number, name in enumerate(names.tolist())}
    labels = np.array([place.get(label, -1) for label in labels.tolist()], np.int64)
    width = y.shape[1]
    means, whitening, bias = np.zeros((len(names), width)), np.zeros((len(names), width, width)), []
    for k in range(len(names)):
        own = y[labels == k]
        means[k] = own.mean(axis=0)
        spread = np.cov(own.T).reshape(width, width)
        spread = 0.9 * spread + 0.1 * np.trace(spread) / width * np.eye(width) + 1e-6 * np.eye(width)
        whitening[k] = np.linalg.inv(np.linalg.cholesky(spread))
        bias.append(np.log(len(own) / len(y)) + np.log(np.diag(whitening[k])).sum())
    return Grouping(labels, Gaussians(means, whitening, np.array(bias)))


def _with(group: Callable[..., Grouping], parameter: float) -> Callable[[np.ndarray, int], Grouping]:
    return lambda y, seed: group(y, seed, parameter)
