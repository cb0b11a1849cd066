"""Metrics, intervals and protocols: what a number means."""
