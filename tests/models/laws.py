"""The laws of every retriever; a test class per retriever inherits them and says how to make one."""

from pathlib import Path

import numpy as np
import pytest

from tailorbird.models.base import Retriever
from tests.models import toy

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

    def test_retrieved_items_are_distinct_and_best_first(self, retriever: Retriever) -> None:
        found = retriever.retrieve(retriever.encode(HISTORIES), 5)
        assert found.rows.shape == found.scores.shape == (len(HISTORIES), 5)
        for rows, scores in zip(found.rows, found.scores, strict=True):
            real = rows >= 0
            assert len(set(rows[real])) == real.sum()
            assert (np.diff(scores[real]) <= 1e-6).all()
            assert (scores[~real] == -np.inf).all()
            assert not real[np.argmin(real) :].any() or real.all()  # empty places come last

    def test_retrieved_items_are_the_best_of_all_scores(self, retriever: Retriever) -> None:
        queries = retriever.encode(HISTORIES)
        found, scores = retriever.retrieve(queries, 3), retriever.scores(queries)
        for row in range(len(HISTORIES)):
            real = found.rows[row] >= 0
            if real.any():
                best = np.sort(scores[row])[::-1][: real.sum()]
                np.testing.assert_allclose(found.scores[row][real], best, rtol=1e-5, atol=1e-6)

    def test_score_agrees_with_scores_and_skips_empty_places(self, retriever: Retriever) -> None:
        queries = retriever.encode(HISTORIES)
        rows = np.tile(np.array([3, -1, 0, toy.COLD]), (len(HISTORIES), 1))
        scores = retriever.score(queries, rows)
        assert scores.dtype == np.float32
        assert (scores[:, 1] == -np.inf).all()
        expected = retriever.scores(queries)[:, [3, 0, toy.COLD]]
        np.testing.assert_allclose(scores[:, [0, 2, 3]], expected, rtol=1e-5, atol=1e-6)

    def test_more_than_the_catalogue_is_padded(self, retriever: Retriever) -> None:
        found = retriever.retrieve(retriever.encode(HISTORIES), toy.ITEMS + 7)
        assert found.rows.shape == (len(HISTORIES), toy.ITEMS + 7)
        assert (found.rows[:, -7:] == -1).all()
        assert found.rows.max() < toy.ITEMS

    def test_nothing_asked_nothing_found(self, retriever: Retriever) -> None:
        found = retriever.retrieve(retriever.encode(HISTORIES), 0)
        assert found.rows.shape == (len(HISTORIES), 0)

    def test_no_histories_no_answers(self, retriever: Retriever) -> None:
        nobody = toy.asking()
        assert retriever.scores(retriever.encode(nobody)).shape == (0, toy.ITEMS)

    def test_predicting_does_not_change_the_answer(self, retriever: Retriever) -> None:
        first = retriever.scores(retriever.encode(HISTORIES)).copy()
        retriever.retrieve(retriever.encode(HISTORIES), 4)
        retriever.score(retriever.encode(HISTORIES), np.zeros((len(HISTORIES), 2), np.int64))
        np.testing.assert_array_equal(first, retriever.scores(retriever.encode(HISTORIES)))

    def test_a_batch_answers_like_its_members(self, retriever: Retriever) -> None:
        together = retriever.scores(retriever.encode(HISTORIES))
        for row in range(len(HISTORIES)):
            alone = retriever.scores(retriever.encode(HISTORIES[row : row + 1]))[0]
            np.testing.assert_allclose(alone, together[row], rtol=1e-4, atol=1e-5)

    def test_the_path_of_one_request_gives_the_same_scores(self, retriever: Retriever) -> None:
        plain = toy.asking([0, 1, 2], [6], [], list(range(12)) * 12)  # no runs of one item
        together = retriever.scores(retriever.encode(plain))
        for row in range(len(plain)):
            alone = retriever.scores_of_one(plain[row : row + 1])
            np.testing.assert_allclose(alone, together[row], rtol=1e-4, atol=1e-5)
        each = retriever.scores_of_each([plain[row : row + 1] for row in range(len(plain))])
        np.testing.assert_allclose(np.stack(each), together, rtol=1e-4, atol=1e-5)

    def test_saved_and_loaded_answers_the_same(self, retriever: Retriever, tmp_path: Path) -> None:
        retriever.save(tmp_path)
        loaded = self.kind.load(tmp_path)
        np.testing.assert_array_equal(
            loaded.scores(loaded.encode(HISTORIES)), retriever.scores(retriever.encode(HISTORIES))
        )
        again = loaded.retrieve(loaded.encode(HISTORIES), 6)
        np.testing.assert_array_equal(again.rows, retriever.retrieve(retriever.encode(HISTORIES), 6).rows)

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
