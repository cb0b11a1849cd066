"""Versions: published with a card, stored as MLflow models, judged by gates, pointed at by aliases."""
