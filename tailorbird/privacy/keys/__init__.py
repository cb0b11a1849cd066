"""The keys: the master key, what it wraps, and what is sealed and named with that."""
