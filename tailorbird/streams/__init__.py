"""Streams: what people did and what they were shown, appended once, read from a position, forgotten by person."""
