"""From anybody's tables to the event log and the catalogue: mapping, validation, quarantine."""
