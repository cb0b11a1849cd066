"""The vector index: exact where the whole catalogue is scored."""

from pathlib import Path

import numpy as np
import pytest

from tailorbird.models.allowed import Allowed, Blocked
from tailorbird.models.retrievers.best import best_of_all
from tailorbird.models.retrievers.index import VectorIndex
from tailorbird.models.retrievers.lists import Lists
from tailorbird.models.retrievers.search import RECALL, Search, SearchAsked, tuned


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
    lists = Lists.build(many, seed=1)
    return VectorIndex(many, tuned(Search(lists=len(lists)), many, many[:60] + 0.1, lists), lists)


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


def test_an_index_of_an_older_version_is_searched_too(searched: VectorIndex, tmp_path: Path) -> None:
    searched.save(tmp_path)
    for name in ("centres", "reach"):
        (tmp_path / f"{name}.npy").unlink()
    loaded = VectorIndex.load(tmp_path)
    assert _recall(loaded, searched.vectors[:40], Allowed.all_but(len(loaded)), 100) > 0.95


def test_every_list_together_finds_what_is_found_without_lists(many: np.ndarray) -> None:
    lists = Lists.build(many, seed=1)
    everything, search = Allowed.all_but(len(many)), Search(lists=len(lists), probes=len(lists))
    for query in many[:20] + 0.1:
        exact = best_of_all(many @ query, everything.mask(), 50)
        np.testing.assert_array_equal(SearchAsked(many, query, lists, search).best(50, everything), exact)


def test_the_few_long_vectors_are_found_without_a_look_into_every_list() -> None:
    """As a young network has them: what people came for is long and lies anywhere, the rest is short and lies together."""
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(60, 16))
    rest = centres[rng.integers(0, 60, 30_000)] + 0.1 * rng.normal(size=(30_000, 16))
    vectors = (0.2 * rest).astype(np.float32)
    came_for = rng.permutation(len(vectors))[:1_500]
    vectors[came_for] += 1.5 * rng.normal(size=(len(came_for), 16)).astype(np.float32)
    queries = rng.normal(size=(60, 16)).astype(np.float32)
    lists = Lists.build(vectors, seed=1)
    search = tuned(Search(lists=len(lists)), vectors, queries, lists)
    assert search.recall >= RECALL
    assert search.probes < 0.5 * len(lists)
