import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tailorbird.evaluation.ranks import best_items, mid_ranks, ranks_in

SCORES = arrays(
    np.float32,
    st.tuples(st.integers(1, 6), st.integers(1, 30)),
    elements=st.sampled_from([-np.inf, 0.0, 0.25, 0.5, 1.0, 7.0]),
)


def test_the_best_item_has_rank_one_and_the_worst_the_last() -> None:
    scores = np.array([[0.1, 0.9, 0.5]], np.float32)
    assert [mid_ranks(scores, np.array([item]))[0] for item in range(3)] == [3, 1, 2]


def test_ties_share_the_middle_of_their_places() -> None:
    scores = np.array([[5, 1, 1, 1, 0]], np.float32)
    assert mid_ranks(scores, np.array([2]))[0] == 3  # places 2, 3 and 4
    assert mid_ranks(np.zeros((1, 100), np.float32), np.array([0]))[0] == 50.5


def test_an_item_that_is_not_offered_has_no_rank() -> None:
    scores = np.array([[-np.inf, 1.0], [np.nan, 1.0]], np.float32)
    assert np.isinf(mid_ranks(scores, np.array([0, 0]))).all()


def test_several_targets_share_one_question() -> None:
    scores = np.array([[3, 2, 1], [1, 2, 3]], np.float32)
    ranks = mid_ranks(scores, np.array([0, 2, 2]), question=np.array([0, 0, 1]))
    assert ranks.tolist() == [1, 3, 1]


def test_many_targets_are_ranked_in_chunks_alike() -> None:
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(3, 2000)).astype(np.float32)
    question = np.sort(rng.integers(0, 3, 5000))
    targets = rng.integers(0, 2000, 5000)
    order = np.argsort(np.argsort(-scores, axis=1), axis=1) + 1
    assert (mid_ranks(scores, targets, question=question) == order[question, targets]).all()


@given(scores=SCORES, k=st.integers(1, 40))
def test_the_best_items_are_the_highest_scores_each_once(scores: np.ndarray, k: int) -> None:
    rows, values = best_items(scores, k)
    assert rows.shape == values.shape == (len(scores), k)
    for own, row, value in zip(scores, rows, values, strict=True):
        offered = np.sort(own[~np.isneginf(own)])[::-1][:k]
        assert (row[: len(offered)] >= 0).all()
        assert (row[len(offered) :] == -1).all()
        assert len(set(row[: len(offered)])) == len(offered)
        assert (value[: len(offered)] == offered).all()
        assert (own[row[: len(offered)]] == offered).all()


@given(scores=SCORES, data=st.data())
def test_ranks_in_a_full_list_equal_ranks_among_all_scores(scores: np.ndarray, data: st.DataObject) -> None:
    targets = np.array([data.draw(st.integers(0, scores.shape[1] - 1)) for _ in scores])
    rows, values = best_items(scores, scores.shape[1])
    assert (ranks_in(rows, targets, scores=values) == mid_ranks(scores, targets)).all()


def test_without_scores_the_place_in_the_list_is_the_rank() -> None:
    rankings = np.array([[4, 2, 9], [4, 2, -1]])
    assert ranks_in(rankings, np.array([2, 9])).tolist() == [2, np.inf]


def test_the_catalogues_order_does_not_decide_ties() -> None:
    rows, _ = best_items(np.zeros((1, 1000), np.float32), 10)
    assert rows.max() > 100
