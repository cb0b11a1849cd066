"""The door: one HTTP proxy whose listening socket outlives it, in front of every application's replicas."""
