"""Launching experiments: load, fit, tune, evaluate, register, promote."""
