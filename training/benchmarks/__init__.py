"""Benchmarks of learning: published protocols, planted behaviours, a loop that closes, going on, forgetting."""
