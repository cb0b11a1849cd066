"""The vector index: exact where the whole catalogue is scored."""

from pathlib import Path

import numpy as np
import pytest

from tailorbird.models.allowed import Allowed, Blocked
from tailorbird.models.retrievers.best import best_of_all
from tailorbird.models.retrievers.index import VectorIndex
from tailorbird.models.retrievers.search import RECALL, Search, lists_of, tuned


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3000, 16)).astype(np.float32)


def test_a_small_catalogue_is_scored_whole(vectors: np.ndarray) -> None:
    queries = vectors[:20] + 0.1
    exact = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    for asked, expected in zip(VectorIndex.build(vectors).ask(queries), exact, strict=True):
        np.testing.assert_array_equal(asked.best(10, Allowed.all_but(3000)), expected)


@pytest.fixture(scope="module")
def many() -> np.ndarray:
    """Vectors around 60 centres, as items are around what they are about."""
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(60, 16))
    return (centres[rng.integers(0, 60, 30_000)] + 0.5 * rng.normal(size=(30_000, 16))).astype(np.float32)


@pytest.fixture(scope="module")
def searched(many: np.ndarray) -> VectorIndex:
    """An index that searches, however quick it would be to score all here."""
    index = lists_of(many, seed=1)
    return VectorIndex(many, tuned(Search(lists=index.nlist), many, many[:60] + 0.1, index), index)


def _recall(index: VectorIndex, queries: np.ndarray, allowed: Allowed, k: int) -> float:
    found = []
    for query, asked in zip(queries, index.ask(queries), strict=True):
        best = asked.best(k, allowed)
        assert allowed.of(best).all()
        assert (np.diff(index.vectors[best] @ query) <= 1e-5).all()
        exact = best_of_all(index.vectors @ query, allowed.mask(), k)
        assert len(best) == len(exact)
        found.append(np.isin(exact, best).mean())
    return float(np.mean(found))


@pytest.mark.parametrize("share", [1.0, 0.9, 0.4, 0.05])
def test_a_search_finds_nearly_all_whatever_share_is_allowed(
    many: np.ndarray, searched: VectorIndex, share: float
) -> None:
    rng = np.random.default_rng(2)
    code = (rng.random(len(many)) >= share).astype(np.uint8)
    few = np.sort(rng.choice(np.flatnonzero(code == 0), 40, replace=False))
    assert _recall(searched, many[:40] + 0.1, Allowed(Blocked(code), few), 100) > 0.97


def test_a_search_goes_on_until_it_has_as_many_as_are_wanted(many: np.ndarray, searched: VectorIndex) -> None:
    far = np.argsort(many @ many[0])[:300]  # allowed is what lies farthest from the query
    code = np.ones(len(many), np.uint8)
    code[far] = 0
    (asked,) = searched.ask(many[:1])
    assert sorted(asked.best(300, Allowed(Blocked(code), np.zeros(0, np.int64))).tolist()) == sorted(far)


def test_a_query_of_zeros_finds_nothing(many: np.ndarray, searched: VectorIndex) -> None:
    (asked,) = searched.ask(np.zeros((1, many.shape[1]), np.float32))
    assert not len(asked.best(10, Allowed.all_but(len(many))))


def test_the_choice_says_what_it_rests_on(many: np.ndarray) -> None:
    chosen = VectorIndex.build(many, queries=many[:100]).search
    assert chosen.recall >= RECALL
    assert chosen.whole == (chosen.whole_ms <= chosen.search_ms)


def test_an_index_survives_the_disk(searched: VectorIndex, tmp_path: Path) -> None:
    searched.save(tmp_path)
    loaded = VectorIndex.load(tmp_path)
    assert loaded.search == searched.search
    for one, other in zip(loaded.ask(searched.vectors[:5]), searched.ask(searched.vectors[:5]), strict=True):
        everything = Allowed.all_but(len(loaded))
        np.testing.assert_array_equal(one.best(8, everything), other.best(8, everything))
