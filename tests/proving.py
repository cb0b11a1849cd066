"""How much a test tries: enough for every day, and all that our figures promise where ``TAILORBIRD_PROVE=1`` (`make prove`)."""

import os

PROVING = os.environ.get("TAILORBIRD_PROVE") == "1"


def tries(usual: int, proving: int) -> int:
    """How many examples, people, kills … a test is made of."""
    return proving if PROVING else usual
