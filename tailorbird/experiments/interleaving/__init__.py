"""Interleaving: one slate of two rankings, each item with the ranking that picked it; clicks say whose picks are preferred."""
