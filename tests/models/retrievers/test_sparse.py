"""Sums of sparse rows: what a dense loop adds up, and the zeros they were added to are zeros again."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tailorbird.models.allowed import Allowed
from tailorbird.models.retrievers.sparse import Scratch, SparseScores, linked

ITEMS = 9
LINKS = st.lists(
    st.dictionaries(st.integers(0, ITEMS - 1), st.sampled_from([-1.0, 0.5, 1.0, 2.0]), max_size=6),
    min_size=ITEMS,
    max_size=ITEMS,
)


@settings(max_examples=200, deadline=None)
@given(
    LINKS, st.lists(st.integers(0, ITEMS - 1), max_size=8), st.lists(st.integers(0, ITEMS - 1), max_size=12)
)
def test_linked_rows_have_the_sums_that_a_dense_loop_gives(
    links: list[dict[int, float]], items: list[int], wanted: list[int]
) -> None:
    indptr = np.cumsum([0, *(len(row) for row in links)]).astype(np.int32)
    indices = np.array([item for row in links for item in sorted(row)], np.int32)
    values = np.array([row[item] for row in links for item in sorted(row)], np.float32)
    weights = np.resize(np.array([1.0, 0.5, 0.25], np.float32), len(items))
    expected = np.zeros(ITEMS, np.float32)
    for item, weight in zip(items, weights, strict=True):
        for other, value in links[item].items():
            expected[other] += weight * np.float32(value)
    scratch = Scratch()
    found = SparseScores(
        *linked(np.array(items, np.int32), weights, indptr, indices, values, scratch.zeros(ITEMS))
    )
    assert not scratch.zeros(ITEMS).any()
    assert sorted(found.rows.tolist()) == np.flatnonzero(expected).tolist()
    np.testing.assert_array_equal(found.score(np.arange(ITEMS)), expected)
    np.testing.assert_array_equal(found.score(np.array(wanted, np.int64)), expected[wanted])
    best = found.best(ITEMS, Allowed.all_but(ITEMS, np.array(items)))
    assert not np.isin(best, items).any()
    assert (np.diff(expected[best]) <= 0).all()
