"""An index that takes additions and changes answers as one made of everything."""

from pathlib import Path

import numpy as np
import pytest

from tailorbird.models.allowed import Allowed, Blocked
from tailorbird.models.retrievers.best import best_of_all
from tailorbird.models.retrievers.grown import GrownIndex
from tailorbird.models.retrievers.index import VectorIndex
from tailorbird.models.retrievers.lists import Lists
from tailorbird.models.retrievers.search import Search, tuned

D = 12
NOTHING = np.zeros(0, np.int64)


def _clustered(count: int, *, seed: int) -> np.ndarray:
    centres = np.random.default_rng(9).normal(size=(40, D))
    rng = np.random.default_rng(seed)
    return (centres[rng.integers(0, 40, count)] + 0.5 * rng.normal(size=(count, D))).astype(np.float32)


@pytest.fixture(scope="module", params=["scored whole", "searched"])
def main(request: pytest.FixtureRequest) -> VectorIndex:
    vectors = _clustered(6_000, seed=1)
    if request.param == "scored whole":
        return VectorIndex.build(vectors)
    lists = Lists.build(vectors, seed=1)
    return VectorIndex(vectors, tuned(Search(lists=len(lists)), vectors, vectors[:60] + 0.1, lists), lists)


@pytest.fixture(scope="module")
def grown(main: VectorIndex) -> GrownIndex:
    """In three steps: items come, known ones change, some of both change again."""
    count, rng = len(main), np.random.default_rng(2)
    index: VectorIndex = main
    for step in range(3):
        moved = np.sort(rng.choice(count, 150, replace=False))
        rows = np.concatenate([moved, np.arange(count, count + 150)])
        count += 150
        index = GrownIndex.of(index, rows, _clustered(len(rows), seed=3 + step), count=count)
    assert isinstance(index, GrownIndex)
    return index


def _recall(index: VectorIndex, vectors: np.ndarray, allowed: Allowed, k: int) -> float:
    shares = []
    for query in _clustered(40, seed=7):
        (asked,) = index.ask(query[None])
        best = asked.best(k, allowed)
        assert allowed.of(best).all()
        assert len(best) == len(set(best.tolist()))
        np.testing.assert_allclose(asked.score(best), vectors[best] @ query, rtol=1e-4, atol=1e-4)
        assert (np.diff(asked.score(best)) <= 0).all()
        exact = best_of_all(vectors @ query, allowed.mask(), k)
        assert len(best) == len(exact)
        shares.append(np.isin(exact, best).mean())
    return float(np.mean(shares))


@pytest.mark.parametrize("share", [1.0, 0.7, 0.1])
def test_it_finds_what_an_exact_search_finds(main: VectorIndex, grown: GrownIndex, share: float) -> None:
    code = (np.random.default_rng(5).random(len(grown)) >= share).astype(np.uint8)
    few = np.sort(np.random.default_rng(6).choice(np.flatnonzero(code == 0), 60, replace=False))
    least = 1.0 if main.search.whole else 0.99
    assert _recall(grown, grown.vectors, Allowed(Blocked(code), few), 100) >= least


def test_joined_it_finds_the_same(main: VectorIndex, grown: GrownIndex) -> None:
    joined = grown.joined()
    assert not isinstance(joined, GrownIndex)
    np.testing.assert_array_equal(joined.vectors, grown.vectors)
    least = 1.0 if main.search.whole else 0.99
    assert _recall(joined, grown.vectors, Allowed.all_but(len(grown)), 100) >= least


def test_the_main_index_is_shared_and_stays_as_it_was(main: VectorIndex, grown: GrownIndex) -> None:
    assert grown.main is main
    assert _recall(main, main.vectors, Allowed.all_but(len(main)), 100) >= 0.99


def test_vectors_are_taken_by_row(grown: GrownIndex) -> None:
    rows = np.random.default_rng(0).integers(0, len(grown), 500)
    np.testing.assert_array_equal(grown.take(rows), grown.vectors[rows])


def test_more_than_there_is_gives_everything(grown: GrownIndex) -> None:
    (asked,) = grown.ask(_clustered(1, seed=8))
    assert len(asked.best(10**6, Allowed.all_but(len(grown)))) == len(grown)


def test_new_items_without_a_vector_get_no_score(main: VectorIndex) -> None:
    grown = GrownIndex.of(main, NOTHING, np.zeros((0, D), np.float32), count=len(main) + 3)
    (asked,) = grown.ask(_clustered(1, seed=8))
    assert asked.score(np.array([len(main), len(main) + 2])).tolist() == [0, 0]
    assert (asked.best(20, Allowed.all_but(len(grown))) < len(main)).all()


def test_rows_that_an_older_request_does_not_know_are_not_proposed(
    main: VectorIndex, grown: GrownIndex
) -> None:
    (asked,) = grown.ask(grown.vectors[-1:])
    assert (asked.best(50, Allowed.all_but(len(main))) < len(main)).all()


def test_it_is_stored_as_one_index(grown: GrownIndex, tmp_path: Path) -> None:
    grown.save(tmp_path)
    np.testing.assert_array_equal(VectorIndex.load(tmp_path).vectors, grown.vectors)
