"""The live profile: events folded into it, parts of it by time and person, merged, and as it was at any instant."""
