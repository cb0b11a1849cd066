"""What texts of our own formats look like, for whoever makes requests of the description."""

import schemathesis
from hypothesis import strategies as st

schemathesis.openapi.format(
    "filter-expression",
    st.sampled_from(["price < 50", 'category = "tea" and not brand in ["a", "b"]', "has price"]),
)
