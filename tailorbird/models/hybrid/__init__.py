"""The hybrid: sources propose, the ranker orders; how both are fitted together."""
