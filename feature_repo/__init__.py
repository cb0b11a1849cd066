"""The Feast repository: definitions, online store, offline snapshots, the live profile updater."""
