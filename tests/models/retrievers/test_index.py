"""The vector index: exact when flat, nearly so as a graph, the same after a round trip."""

from pathlib import Path

import numpy as np
import pytest

from tailorbird.models.retrievers.index import VectorIndex


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3000, 16)).astype(np.float32)


def test_flat_search_is_exact(vectors: np.ndarray) -> None:
    queries = vectors[:20] + 0.1
    found = VectorIndex.build(vectors).search(queries, 10)
    exact = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    np.testing.assert_array_equal(found.rows, exact)


def test_a_graph_finds_nearly_all(vectors: np.ndarray) -> None:
    queries = vectors[:50] + 0.1
    found = VectorIndex.build(vectors, flat_up_to=100).search(queries, 20)
    exact = np.argsort(-(queries @ vectors.T), axis=1)[:, :20]
    recall = np.mean([len(set(a) & set(b)) / 20 for a, b in zip(found.rows, exact, strict=True)])
    assert recall > 0.95


@pytest.mark.parametrize("flat_up_to", [100, 10_000])
def test_an_index_survives_the_disk(vectors: np.ndarray, tmp_path: Path, flat_up_to: int) -> None:
    index = VectorIndex.build(vectors, flat_up_to=flat_up_to)
    index.save(tmp_path)
    loaded = VectorIndex.load(tmp_path)
    before, after = index.search(vectors[:5], 8), loaded.search(vectors[:5], 8)
    np.testing.assert_array_equal(before.rows, after.rows)
    np.testing.assert_array_equal(before.scores, after.scores)
