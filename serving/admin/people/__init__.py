"""People: profiles, consents, exports and erasures, for operators and for the command of profiles."""
