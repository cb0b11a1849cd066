"""The feature table and the pure functions that compute it, the same offline and online."""
