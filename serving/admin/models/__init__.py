"""Models: versions and decisions, aliases and who moves them, segments."""
