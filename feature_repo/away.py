"""What may go wrong with the online store as a whole, and what to do about it."""

from pathlib import Path

from tailorbird.errors import TailorbirdError


class FeatureStoreAwayError(TailorbirdError):
    """The online store cannot be read or written now: missing, locked or damaged. Serving falls back on this."""


def remedy_of(message: str, file: Path) -> str:
    """What to do about an error of SQLite on this database."""
    if "locked" in message or "busy" in message:
        return "another process holds it; try again, or stop that process"
    if "malformed" in message or "not a database" in message:
        return "remove the file and run `tailorbird features`, which rebuilds it from the event log"
    if "is full" in message:
        return f"free space on the disk of {file.parent}; what is in the event log is folded in afterwards"
    if "readonly" in message:
        return f"let this user write {file}, the files beside it and their folder"
    if "unable to open" in message and file.exists():
        return f"let this user read and write {file} and its folder, and raise the limit of open files if it is reached"
    if "disk I/O" in message:
        return f"check the disk of {file.parent}; if the file is lost, `tailorbird features` rebuilds it from the event log"
    return "run `tailorbird features`, which creates and fills it"
