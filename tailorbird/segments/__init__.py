"""Segments: who somebody is by what they do, found in behaviour or written as rules, and moving with every event."""
