"""Profiles kept live: events folded into rows, the first fill, and what is damaged made anew."""
