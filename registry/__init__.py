"""The registry: bundles as MLflow model versions, the gates they pass, the aliases that point at them."""
