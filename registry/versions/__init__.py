"""Versions: bundles as MLflow model versions, what they were asked, and the people they learned from."""
