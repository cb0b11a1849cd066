"""Events that are told apart by a number, and the embedded stream they go to; quick to import for processes of a test."""

from pathlib import Path

from tailorbird.events.rows import EVENTS
from tailorbird.events.schema import Event
from tailorbird.streams.sqlite import SqliteStream


def event(number: int, *, message_id: str | None = None, **changes: object) -> Event:
    """A click of one of three people."""
    values: dict[str, object] = {
        "message_id": f"m{number}" if message_id is None else message_id,
        "type": "click",
        "event_time": 1_700_000_000.0 + 3600.0 * number + 0.000001 * number,
        "received_time": 1_700_000_001.5 + 3600.0 * number,
        "user_id": f"user-{number % 3}",
        "item_id": f"item-{number % 5}",
    }
    return Event(**{**values, **changes})  # type: ignore[arg-type]


def open_at(folder: Path, **options: object) -> SqliteStream[Event]:
    """The stream of events in ``folder``."""
    return SqliteStream(folder / "events.db", EVENTS, archive=folder / "archive", **options)  # type: ignore[arg-type]
