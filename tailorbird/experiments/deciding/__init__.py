"""The readout of our own experiments: units ▸ comparisons ▸ days, segments, factors ▸ a verdict and what is done about it."""
