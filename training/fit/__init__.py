"""Fitting one recipe: what to fit on, a twin to measure, the model that is registered."""
