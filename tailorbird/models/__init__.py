"""Retrievers, the ranker that stacks them, and the hybrid they make."""
