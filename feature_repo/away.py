"""What may go wrong with the online store as a whole, and what to do about it."""

from tailorbird.errors import TailorbirdError


class FeatureStoreAwayError(TailorbirdError):
    """The online store cannot be read or written now: missing, locked or damaged. Serving falls back on this."""


def remedy_of(message: str) -> str:
    """What to do about an error of SQLite."""
    if "locked" in message or "busy" in message:
        return "another process holds it; try again, or stop that process"
    if "malformed" in message or "not a database" in message or "disk image" in message:
        return "remove the file and run `tailorbird features`, which rebuilds it from the event log"
    return "run `tailorbird features`, which creates and fills it"
