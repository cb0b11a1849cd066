"""The door: where callers' ids become pseudonyms, and texts that may be personal are sealed or dropped."""
