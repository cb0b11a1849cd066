"""Segments in serving: the promoted segment model, followed by every replica that says or does something by it."""
