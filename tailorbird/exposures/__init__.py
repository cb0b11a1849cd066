"""Exposures: what was shown to whom, by which arm, for which reasons: the second stream, beside the events."""
