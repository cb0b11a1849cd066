"""Metrics of our own experiments: declared in TOML, measured over exposures and events, one row a unit."""
