"""Co-occurrence and EASE on toy worlds."""

import numpy as np
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from tailorbird.events.interactions import Interactions
from tailorbird.models.retrievers.cooccurrence import Cooccurrence, directed, ease, strongest
from tailorbird.recipes.recipe import CooccurrenceRecipe
from tests.models import toy


def _of(sequences: list[list[int]], items: int) -> Interactions:
    users = np.concatenate([np.full(len(s), u) for u, s in enumerate(sequences)])
    return Interactions.of(
        users=users,
        items=np.concatenate(sequences),
        times=np.arange(len(users), dtype=float),
        user_ids=np.array([f"u{u}" for u in range(len(sequences))], dtype=object),
        item_count=items,
    )


def test_what_follows_is_preferred_to_what_came_before() -> None:
    fitted = Cooccurrence().fit(toy.interactions(), toy.catalog())
    scores = fitted.scores(fitted.encode(toy.asking([2])))[0]
    assert scores[3] > scores[1]
    assert scores[:6].min() > scores[6:12].max()  # the other shelf is another world


def test_a_pair_counts_less_with_distance_and_never_across_users() -> None:
    recipe = CooccurrenceRecipe(window=2, pair_power=1.0, popularity_power=0.0, smoothing=0.0)
    counts = directed(_of([[0, 1, 2, 3], [4, 0]], 5), recipe).toarray()
    # From 0: one step to 1 (weight 1), two steps to 2 (weight 1/2), out of the window to 3.
    np.testing.assert_allclose(counts[0], [0, 1 / 1.5, 0.5 / 1.5, 0, 0], rtol=1e-6)
    assert counts[3].sum() == 0  # user 1's events do not follow user 0's
    np.testing.assert_allclose(counts[4], [1, 0, 0, 0, 0])


def test_ease_is_the_closed_form_solution() -> None:
    data = _of([[0, 1], [0, 1, 2], [2, 3], [1, 3]], 4)
    x = data.matrix().toarray().astype(float)
    found = ease(data, CooccurrenceRecipe(ease_l2=1.0, neighbours=4)).toarray()
    assert np.diag(found).tolist() == [0, 0, 0, 0]
    # The minimum of |X - XB|^2 + l2 |B|^2 with a zero diagonal: its gradient is zero off the diagonal.
    gradient = x.T @ (x @ found - x) + 1.0 * found
    np.testing.assert_allclose(gradient - np.diag(np.diag(gradient)), 0, atol=1e-5)


def test_ease_covers_the_most_popular_items_only() -> None:
    data = _of([[0, 1], [0, 1], [0, 1, 2]], 3)
    found = ease(data, CooccurrenceRecipe(ease_items=2, ease_l2=1.0)).toarray()
    assert found[2].tolist() == [0, 0, 0]
    assert found[:, 2].tolist() == [0, 0, 0]
    assert found[0, 1] > 0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_the_strongest_neighbours_are_kept_unchanged(seed: int, k: int) -> None:
    dense = np.random.default_rng(seed).normal(size=(5, 7)).astype(np.float32)
    dense[np.abs(dense) < 0.4] = 0
    kept = strongest(sp.csr_matrix(dense), k).toarray()
    for row, whole in zip(kept, dense, strict=True):
        assert (row != 0).sum() == min(k, (whole != 0).sum())
        assert (row[row != 0] == whole[row != 0]).all()
        assert np.abs(row[row != 0]).sum() >= np.sort(np.abs(whole))[::-1][:k].sum() - 1e-6


def test_a_run_of_one_item_counts_once() -> None:
    fitted = Cooccurrence().fit(toy.interactions(), toy.catalog())
    once, often = (fitted.scores(fitted.encode(toy.asking(s))) for s in ([0, 1], [0, 1, 1, 1]))
    np.testing.assert_array_equal(once, often)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=12), min_size=1, max_size=5),
    st.integers(1, 4),
    st.integers(1, 8),
)
def test_rows_are_what_all_pairs_add_up_to_and_the_strongest_of_it(
    sequences: list[list[int]], window: int, keep: int
) -> None:
    data = _of(sequences, 7)
    recipe = CooccurrenceRecipe(window=window, pair_power=0.5, popularity_power=0.3, smoothing=2.0)
    pairs = np.zeros((7, 7))
    for sequence in sequences:
        for place, item in enumerate(sequence):
            for distance, other in enumerate(sequence[place + 1 : place + 1 + window], start=1):
                pairs[item, other] += distance**-0.5
    popularity = np.maximum(np.bincount(data.items, minlength=7), 1.0)
    expected = pairs / np.maximum(pairs.sum(axis=1, keepdims=True) + 2.0, 1e-9) * popularity**-0.3
    np.testing.assert_allclose(directed(data, recipe).toarray(), expected, rtol=1e-5, atol=1e-7)
    some = directed(data, recipe, rows=np.array([1, 4])).toarray()
    np.testing.assert_allclose(some[[1, 4]], expected[[1, 4]], rtol=1e-5, atol=1e-7)
    assert not some[[0, 2, 3, 5, 6]].any()
    beside = sp.csr_matrix(np.random.default_rng(1).normal(size=(7, 7)).astype(np.float32))
    both = strongest(sp.csr_matrix((expected + beside.toarray()).astype(np.float32)), keep).toarray()
    found = directed(data, recipe, keep=keep, beside=beside)
    np.testing.assert_allclose(found.toarray(), both, rtol=1e-4, atol=1e-5)
    assert found.has_sorted_indices
