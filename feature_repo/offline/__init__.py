"""Profiles of the past: rows at the instants that training asks for, and how Feast joins them."""
