"""Ingest: any tabular data through a mapping into validated events, items and users."""
