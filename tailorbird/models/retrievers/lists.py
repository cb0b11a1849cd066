"""Lists of vectors that lie together, as one-byte codes in a FAISS index, asked in the order of what each may hold."""

import math
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from tailorbird.plumbing.disk import mapped

POINTS_PER_LIST = 40
BAND = 1.05
"""Vectors of one list differ in length by this factor at most."""
BANDS = 32
"""Bands of length; the last holds all that are shorter."""


class Lists:
    """A FAISS ``index`` of about 2 √n lists, their ``centres`` (l, d) and how far beyond these their best may ``reach`` (l,).

    Products are largest among the longest vectors, which are few: those of one list are about as long as each other, or
    a query would have to look for them in every list. A list of m vectors with deviation r around its centre c holds about
    q·c + |q| r √(2 ln m / d) as its largest product with a query q, were they spread evenly; the highest are asked first.
    """

    def __init__(self, index: Any, centres: np.ndarray, reach: np.ndarray) -> None:
        self._index, self._centres, self._reach = index, centres, reach

    @classmethod
    def build(cls, vectors: np.ndarray, *, seed: int) -> "Lists":
        """Group ``vectors`` (n, d) by length, then by k-means."""
        n, d = vectors.shape
        label, centres = _grouped(vectors, lists=max(1, round(2.0 * math.sqrt(n))), seed=seed)
        # The nearest centre by distance: by inner product the longest would take everything.
        nearest = faiss.IndexFlatL2(d)
        nearest.add(centres)
        kind = (
            faiss.ScalarQuantizer.QT_8bit_uniform
        )  # one scale for all numbers: a quarter quicker than one for each
        index = faiss.IndexIVFScalarQuantizer(
            nearest, d, len(centres), kind, faiss.METRIC_INNER_PRODUCT, False
        )
        sample = np.random.default_rng(seed).choice(n, min(n, POINTS_PER_LIST * len(centres)), replace=False)
        index.train(np.ascontiguousarray(vectors[np.sort(sample)]))
        rows = np.arange(n)
        index.add_core(n, faiss.swig_ptr(vectors), faiss.swig_ptr(rows), faiss.swig_ptr(label))
        centres, reach = _described(vectors, label, count=len(centres))
        return cls(index, centres, reach)

    def __len__(self) -> int:
        return len(self._centres)

    def find(self, query: np.ndarray, k: int, *, probes: int, chosen: Any = None) -> np.ndarray:
        """(≤ k,) int64 rows with the largest products with ``query`` (d,) by their codes, best first, of ``probes`` lists.

        ``chosen`` is a FAISS selector of rows; None for all.
        """
        query = np.ascontiguousarray(query, np.float32)
        promise = self._centres @ query
        promise += math.sqrt(float(query @ query)) * self._reach
        lists = np.argpartition(promise, len(promise) - probes)[-probes:]
        lists = lists[np.argsort(-promise[lists])].astype(np.int64)
        promised = promise[lists]
        products, rows = np.empty(k, np.float32), np.empty(k, np.int64)
        asked = {"nprobe": probes} if chosen is None else {"nprobe": probes, "sel": chosen}
        # By FAISS's own name: its Python wrapper takes no selector here.
        self._index.search_preassigned_c(
            1,
            faiss.swig_ptr(query),
            k,
            *map(faiss.swig_ptr, (lists, promised, products, rows)),
            False,
            faiss.SearchParametersIVF(**asked),
        )
        found: np.ndarray = rows[rows >= 0]
        return found

    def exchanged(self, vectors: np.ndarray, *, out: np.ndarray, into: np.ndarray) -> "Lists":
        """Lists without the rows ``out``, then with ``into`` of ``vectors`` (n, d), each where the nearest centre is."""
        index: Any = faiss.deserialize_index(faiss.serialize_index(self._index))  # its memory is its own then
        index.remove_ids(np.asarray(out, np.int64))
        index.add_with_ids(np.ascontiguousarray(vectors[into]), np.asarray(into, np.int64))
        return Lists(index, self._centres, self._reach)

    def save(self, folder: Path) -> None:
        """Write ``index.faiss``, ``centres.npy`` and ``reach.npy``."""
        faiss.write_index(self._index, str(folder / "index.faiss"))
        np.save(folder / "centres.npy", self._centres)
        np.save(folder / "reach.npy", self._reach)

    @classmethod
    def load(cls, folder: Path) -> "Lists":
        """Map what ``save`` wrote into memory; lists of an older version reach nowhere."""
        index: Any = faiss.read_index(str(folder / "index.faiss"), faiss.IO_FLAG_MMAP_IFC)
        if (folder / "reach.npy").exists():
            return cls(index, mapped(folder / "centres.npy"), mapped(folder / "reach.npy"))
        return cls(index, index.quantizer.reconstruct_n(0, index.nlist), np.zeros(index.nlist, np.float32))


def _grouped(vectors: np.ndarray, *, lists: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(n,) int64 the list of each vector, and (l, d) the lists' centres: k-means in each band of length."""
    n, d = vectors.shape
    length = np.sqrt(np.vecdot(vectors, vectors))
    shrunk = np.log(max(float(length.max(initial=0.0)), 1e-12) / np.maximum(length, 1e-12)) / math.log(BAND)
    band = np.minimum(shrunk, BANDS - 1).astype(np.int64)
    label, centres = np.empty(n, np.int64), list[np.ndarray]()
    rng, first = np.random.default_rng(seed), 0
    for each in range(BANDS):
        rows = np.flatnonzero(band == each)
        if not len(rows):
            continue
        count = max(1, round(lists * len(rows) / n))
        some = rows[np.sort(rng.choice(len(rows), min(len(rows), POINTS_PER_LIST * count), replace=False))]
        means = faiss.Kmeans(d, count, niter=8, seed=seed, min_points_per_centroid=1)
        means.train(np.ascontiguousarray(vectors[some]))
        assert means.centroids is not None
        label[rows] = first + means.assign(np.ascontiguousarray(vectors[rows]))[1]
        centres.append(means.centroids)
        first += count
    return label, np.concatenate(centres)


def _described(vectors: np.ndarray, label: np.ndarray, *, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(l, d) float32 the mean of each list's vectors, and (l,) float32 how far a query of length 1 reaches beyond it."""
    size = np.bincount(label, minlength=count)
    each = np.maximum(size, 1)
    means = np.stack([np.bincount(label, column, count) / each for column in vectors.T], axis=1)
    squares = np.bincount(label, np.vecdot(vectors, vectors), count) / each
    spread = np.maximum(squares - np.vecdot(means, means), 0.0)  # of all d numbers together
    reach = np.sqrt(spread * 2.0 * np.log(np.maximum(size, 2)) / vectors.shape[1])
    return means.astype(np.float32), reach.astype(np.float32)
