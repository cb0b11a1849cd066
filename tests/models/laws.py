"""The laws of every retriever; a test class per retriever inherits them and says how to make one."""

from pathlib import Path

import numpy as np
import pytest

from tailorbird.models.allowed import Allowed, Blocked
from tailorbird.models.base import Retriever
from tests.models import toy

EVERYTHING = Allowed.all_but(toy.ITEMS)
PLAIN = toy.asking([0, 1, 2], [6], [], list(range(12)) * 12)
"""Without runs of one item, as requests ask."""
HISTORIES = toy.asking([0, 1, 2], [6, 7], [], [toy.COLD], [3, 3, 4, 4, 4, 5], list(range(12)) * 12)


class RetrieverLaws:
    """Inherit, and return a fitted retriever from ``make``."""

    kind: type[Retriever]

    @classmethod
    def make(cls) -> Retriever:
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def retriever(cls) -> Retriever:
        return cls.make()

    def test_scores_cover_the_catalogue_and_are_finite(self, retriever: Retriever) -> None:
        scores = retriever.scores(retriever.encode(HISTORIES))
        assert scores.shape == (len(HISTORIES), toy.ITEMS)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()

    def test_the_best_are_distinct_and_the_best_of_all_scores(self, retriever: Retriever) -> None:
        scores = retriever.scores(retriever.encode(PLAIN))
        for row, asked in enumerate(retriever.ask([PLAIN[row : row + 1] for row in range(len(PLAIN))])):
            for k in (0, 1, 3, toy.ITEMS + 7):
                found = asked.best(k, EVERYTHING)
                assert len(found) == len(set(found.tolist())) <= k
                speaking = scores[row][scores[row] != 0]
                best = np.sort(speaking)[::-1][: len(found)]
                assert len(found) == min(k, len(speaking))
                np.testing.assert_allclose(scores[row][found], best, rtol=1e-5, atol=1e-6)

    def test_only_what_is_allowed_is_proposed_and_nothing_is_lost_by_that(self, retriever: Retriever) -> None:
        rows = np.arange(toy.ITEMS)
        few = Allowed.all_but(toy.ITEMS, rows[::3])
        many = Allowed(Blocked((rows % 3 == 0).astype(np.uint8)), np.zeros(0, np.int64))
        for asked in retriever.ask([PLAIN[row : row + 1] for row in range(len(PLAIN))]):
            everything = asked.best(toy.ITEMS, EVERYTHING)
            expected = everything[everything % 3 != 0]
            for allowed in (few, many):
                np.testing.assert_array_equal(asked.best(toy.ITEMS, allowed), expected)
                np.testing.assert_array_equal(asked.best(2, allowed), expected[:2])

    def test_given_items_are_scored_as_in_the_whole_catalogue(self, retriever: Retriever) -> None:
        expected = retriever.scores(retriever.encode(PLAIN))
        rows = np.array([3, 0, toy.COLD, 3])
        for row, asked in enumerate(retriever.ask([PLAIN[row : row + 1] for row in range(len(PLAIN))])):
            scores = asked.score(rows)
            assert scores.dtype == np.float32
            np.testing.assert_allclose(scores, expected[row][rows], rtol=1e-4, atol=1e-5)

    def test_no_histories_no_answers(self, retriever: Retriever) -> None:
        nobody = toy.asking()
        assert retriever.scores(retriever.encode(nobody)).shape == (0, toy.ITEMS)

    def test_predicting_does_not_change_the_answer(self, retriever: Retriever) -> None:
        first = retriever.scores(retriever.encode(HISTORIES)).copy()
        for asked in retriever.ask([PLAIN[:1], PLAIN[1:2]]):
            asked.score(asked.best(4, EVERYTHING))
        np.testing.assert_array_equal(first, retriever.scores(retriever.encode(HISTORIES)))

    def test_a_batch_answers_like_its_members(self, retriever: Retriever) -> None:
        together = retriever.scores(retriever.encode(HISTORIES))
        for row in range(len(HISTORIES)):
            alone = retriever.scores(retriever.encode(HISTORIES[row : row + 1]))[0]
            np.testing.assert_allclose(alone, together[row], rtol=1e-4, atol=1e-5)

    def test_saved_and_loaded_answers_the_same(self, retriever: Retriever, tmp_path: Path) -> None:
        retriever.save(tmp_path)
        loaded = self.kind.load(tmp_path)
        np.testing.assert_array_equal(
            loaded.scores(loaded.encode(HISTORIES)), retriever.scores(retriever.encode(HISTORIES))
        )
        for again, asked in zip(loaded.ask([PLAIN[:1]]), retriever.ask([PLAIN[:1]]), strict=True):
            np.testing.assert_array_equal(again.best(6, EVERYTHING), asked.best(6, EVERYTHING))

    def test_nothing_is_pickled(self, retriever: Retriever, tmp_path: Path) -> None:
        retriever.save(tmp_path)
        kinds = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
        assert kinds <= {".npy", ".json", ".safetensors", ".faiss"}
        for path in tmp_path.rglob("*.npy"):
            np.load(path, allow_pickle=False)

    def test_fitting_on_nothing_still_answers(self) -> None:
        nothing = toy.interactions().where(np.zeros(len(toy.interactions()), bool))
        retriever = self.blank().fit(nothing, toy.catalog())
        assert retriever.scores(retriever.encode(HISTORIES)).shape == (len(HISTORIES), toy.ITEMS)

    @classmethod
    def blank(cls) -> Retriever:
        return cls.kind()
