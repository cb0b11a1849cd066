"""The collect application: events checked, stored and folded into the live profiles before the 202."""
