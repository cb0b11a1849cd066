"""The admin application: models, aliases, decisions, arms and streams, for operators on this machine."""
