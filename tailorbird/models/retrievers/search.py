"""How an index looks for neighbours: every vector, or some of its lists; measured, chosen and recorded."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import faiss
import numpy as np

from tailorbird.models.allowed import NO_ROWS, Allowed
from tailorbird.models.retrievers.best import best_of_all, best_of_some
from tailorbird.models.retrievers.lists import Lists
from tailorbird.plumbing.compiled import compiled

RECALL, AT = 0.995, 200
"""The share of the true best 200 that a search must find, in the mean."""
MEASURED = 128
"""Queries that the choice rests on."""
NEVER_SEARCHED = 20_000
"""Up to so many vectors nothing is measured: to score them all takes less than a search with its overhead."""
ROWS = 4_096
"""Rows by which the time to score one is measured."""
SELECT_BELOW = 0.5
"""Share of allowed rows below which FAISS is told which they are; above, some more are looked for."""


@dataclass(frozen=True)
class Search:
    """What was chosen, and what it was chosen by: ``recall`` at 200, milliseconds of one query each way.

    A search scans the ``probes`` most promising of ``lists`` lists of one-byte codes and finds ``widen`` times as many as
    are wanted, which are then scored exactly.
    """

    lists: int = 0
    probes: int = 0
    widen: float = 1.6
    recall: float = 1.0
    whole_ms: float = 0.0
    search_ms: float = 0.0
    row_us: float = 0.0
    """Microseconds to score one given row."""

    @property
    def whole(self) -> bool:
        """Whether every vector is scored."""
        return self.lists == 0


WHOLE = Search()


@dataclass(frozen=True, eq=False)
class WholeAsked:
    """One request's ``scores`` (n_items,) float32 of the whole catalogue."""

    scores: np.ndarray

    def best(self, k: int, allowed: Allowed) -> np.ndarray:
        """The best of all."""
        return best_of_all(self.scores, allowed.mask(), k)

    def score(self, rows: np.ndarray) -> np.ndarray:
        """Scores of given items."""
        scores: np.ndarray = self.scores[rows]
        return scores


@dataclass(frozen=True, eq=False)
class SearchAsked:
    """One ``query`` (d,) to ``lists``: what it finds there is scored exactly by ``vectors`` (n_items, d)."""

    vectors: np.ndarray
    query: np.ndarray
    lists: Lists
    search: Search

    def best(self, k: int, allowed: Allowed) -> np.ndarray:
        """The best that are found; so many are looked for that enough of them are allowed."""
        k = min(k, len(allowed))
        if k == 0 or not self.query.any():
            return NO_ROWS
        share, probes = allowed.share, self.search.probes
        if len(allowed) * self.search.row_us < 1000 * self.search.search_ms / share:
            rows = allowed.rows()  # a search among so few takes longer: it looks into more lists
            rows = rows[rows < len(self.vectors)]
            return best_of_some(rows, self.score(rows), allowed.blocked.code, allowed.few, k)
        selects = share < SELECT_BELOW
        wanted = self.search.widen * (k + len(allowed.few)) / (1.0 if selects else share)
        while True:
            probes = min(self.search.lists, math.ceil(probes / share) if selects else probes)
            rows = self._found(
                min(math.ceil(wanted), len(self.vectors)), probes, allowed if selects else None
            )
            kept = rows[allowed.of(rows)]
            if len(kept) >= k or probes == self.search.lists:
                return best_of_some(kept, self.score(kept), allowed.blocked.code, allowed.few, k)
            probes, wanted = 4 * probes, 4 * wanted

    def score(self, rows: np.ndarray) -> np.ndarray:
        """Inner products with given items."""
        return _products(self.vectors, rows, self.query)

    def _found(self, k: int, probes: int, allowed: Allowed | None) -> np.ndarray:
        chosen = None
        if allowed is not None:
            bits = allowed.blocked.free_bits
            chosen = faiss.IDSelectorBitmap(len(allowed.blocked), faiss.swig_ptr(bits))
        return self.lists.find(self.query, k, probes=probes, chosen=chosen)


def choose_search(vectors: np.ndarray, queries: np.ndarray) -> tuple[Search, Lists | None]:
    """The quicker way for ``queries`` (b, d) among ``vectors`` (n, d) that finds what it must, and its lists, if any."""
    if len(vectors) <= NEVER_SEARCHED:
        return WHOLE, None
    rng = np.random.default_rng(0)
    queries = queries[queries.any(axis=1)]
    if not len(queries):
        return WHOLE, None
    queries = np.ascontiguousarray(queries[rng.permutation(len(queries))[:MEASURED]], np.float32)
    lists, everything = Lists.build(vectors, seed=1), Allowed.all_but(len(vectors))
    search = tuned(Search(lists=len(lists)), vectors, queries, lists)
    whole_ms = _milliseconds(lambda q: WholeAsked(vectors @ q).best(AT, everything), queries)
    search_ms = _milliseconds(lambda q: SearchAsked(vectors, q, lists, search).best(AT, everything), queries)
    rows = rng.integers(0, len(vectors), ROWS)
    row_us = 1000 * _milliseconds(lambda q: _products(vectors, rows, q), queries) / ROWS
    search = replace(
        search, whole_ms=round(whole_ms, 3), search_ms=round(search_ms, 3), row_us=round(row_us, 4)
    )
    return (search, lists) if search_ms < whole_ms else (replace(search, lists=0, probes=0, recall=1.0), None)


def tuned(search: Search, vectors: np.ndarray, queries: np.ndarray, lists: Lists) -> Search:
    """With as few probes as find what must be found."""
    everything = Allowed.all_but(len(vectors))
    exact = [best_of_all(vectors @ query, everything.mask(), AT) for query in queries]
    probes = max(1, search.lists // 256)
    while True:
        search = replace(search, probes=min(probes, search.lists))
        shares = [
            np.isin(wanted, SearchAsked(vectors, query, lists, search).best(AT, everything)).mean()
            for query, wanted in zip(queries, exact, strict=True)
            if len(wanted)
        ]
        search = replace(search, recall=round(float(np.mean(shares)), 4) if shares else 1.0)
        if search.recall >= RECALL or search.probes == search.lists:
            return search
        probes = max(probes + 1, int(1.25 * probes))


def _milliseconds(answer: Callable[[np.ndarray], object], queries: np.ndarray) -> float:
    """The median time of one query on one thread."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        took = []
        for query in queries[:32]:
            started = time.perf_counter()
            answer(query)
            took.append(time.perf_counter() - started)
        return float(np.median(took)) * 1000
    finally:
        faiss.omp_set_num_threads(threads)


@compiled
def _products(vectors: np.ndarray, rows: np.ndarray, query: np.ndarray) -> np.ndarray:
    """(c,) float32 inner products of ``query`` (d,) with the ``rows`` (c,) of ``vectors`` (n, d)."""
    products = np.empty(len(rows), np.float32)
    for place in range(len(rows)):
        products[place] = np.dot(vectors[rows[place]], query)
    return products
