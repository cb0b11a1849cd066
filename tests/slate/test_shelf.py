"""A filter allows what its rules say, whatever names a caller sends."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from tailorbird.catalog.catalog import Catalog
from tailorbird.slate.query import Rules
from tailorbird.slate.shelf import Shelf

NAMES = st.sampled_from(["tea", "cups", "pots", "", "nobody's"])
ITEMS = st.lists(st.tuples(st.lists(NAMES, max_size=3), st.none() | NAMES), max_size=12)


@given(ITEMS, st.lists(NAMES, max_size=4), st.lists(NAMES, max_size=4))
def test_a_filter_allows_exactly_the_items_that_carry_one_of_its_names(items, categories, brands):
    frame = pd.DataFrame(
        {
            "item_id": [f"i{n}" for n in range(len(items))],
            "categories": pd.Series([list(names) for names, _ in items], dtype=object),
            "brand": pd.Series([brand for _, brand in items], dtype=object),
        }
    )
    catalog = Catalog.from_frame(frame) if items else Catalog.of_ids([])
    held = catalog.items
    expected = [
        (not categories or any(name in names for name in categories)) and (not brands or brand in brands)
        for names, brand in zip(held["categories"], held["brand"], strict=True)
    ]
    allowed = Shelf.of(catalog).allowed(Rules(tuple(categories), tuple(brands)))
    assert np.array_equal(allowed, np.array(expected, bool))
