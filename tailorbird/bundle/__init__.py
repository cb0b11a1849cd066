"""The bundle: one immutable, checksummed directory that is a model."""
