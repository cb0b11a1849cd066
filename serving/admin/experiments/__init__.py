"""Experiments: declared, moved, read and decided."""
