"""The simulated shop: a world that knows its own truth, for the demo, the benchmark and the end-to-end test."""
