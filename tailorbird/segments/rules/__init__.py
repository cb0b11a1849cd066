"""Segments a person writes: expressions over facts, in a file that is followed live."""
