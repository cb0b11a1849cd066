"""A profile in words and numbers, as people read it."""
