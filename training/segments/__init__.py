"""Segments of a workspace: found among its people, tracked and registered, and told of everybody."""
