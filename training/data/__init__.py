"""The training set of a workspace: its events, items and users, and the profiles of that time."""
