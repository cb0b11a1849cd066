"""Tuning: a study over a recipe's search space, its trials on Ray, its best recipe fitted and registered."""
