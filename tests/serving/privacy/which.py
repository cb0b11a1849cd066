"""What a test lets go of; imported by the process that it kills."""

WHICH = [[("type", "=", "stumble"), ("event_time", "<", 1e9)]]
