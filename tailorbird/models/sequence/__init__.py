"""The sequence network: a source that reads a history in its order."""
