"""The recommend application: from a request to a slate, by the bundle that the champion alias points at."""
