"""Variables that belong to others and that they read themselves; ours are in settings.py."""

import os


def secret_of(name: str) -> str:
    """The secret that an operator keeps in the variable ``name``; empty where it is not set."""
    return os.environ.get(name, "")


def s3_endpoint() -> str:
    """Where S3 is spoken, if not at Amazon's own addresses; empty where it is."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
