"""Sources of candidates that need no network: each scores the catalogue for a history."""
