"""Filters as expressions over any attribute of items: a small language, parsed once, asked of rows or of the catalogue."""
