"""Experiments in the registry: launched with its versions, read in MLflow, decided through the gates."""
