"""Recipes: how a model is made, one TOML file each."""
