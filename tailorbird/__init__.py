"""The domain library: nouns and pure functions of personalization. It imports no other room."""

__version__ = "0.1.0"
