"""The Feast repository: definitions, online store, offline snapshots, the live profile updater."""

# Feast switches prometheus_client to files shared by processes, for the whole process, unless that is loaded already.
import prometheus_client  # noqa: F401
