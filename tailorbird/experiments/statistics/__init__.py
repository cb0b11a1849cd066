"""Statistics of experiments: pure functions of aggregates, each module with what its paper says of it; the simulation proves them."""
