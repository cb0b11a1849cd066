"""Finding segments among people: what tells them apart, groups, and words for them."""
