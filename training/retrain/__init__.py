"""Retraining: rounds from newer events to a decision about the version that learned from them, one at a time, resumable."""
