"""The doctor's look at the engine of the streams. An engine adds its check here, by the scheme of TAILORBIRD_EVENTS."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing

from tailorbird.doctor.engines import check_engine
from tailorbird.doctor.finding import Finding
from tailorbird.settings import Settings

CHECKS = {
    "sqlite": "tailorbird.streams.health:check_sqlite",
    "kafka": "tailorbird.streams.kafka.health:check_kafka",
}


def check_streams(settings: Settings) -> Sequence[Finding]:
    """Ask the engine that keeps events and exposures."""
    return check_engine("events", settings.events, settings, known=CHECKS)


def check_sqlite(settings: Settings) -> Sequence[Finding]:
    """The embedded engine: a database file for each stream; one that is missing is made by the first append."""
    return [_database(settings, name) for name in ("events", "exposures")]


def _database(settings: Settings, name: str) -> Finding:
    path = settings.folder / f"{name}.db"
    if not path.exists():
        return Finding("events", str(path), "ok", "holds nothing yet; the first append makes it")
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=1.0)) as connection:
            (newest,) = connection.execute("SELECT last_offset FROM state").fetchone()
    except sqlite3.Error as error:
        remedy = f"restore {path} from a copy, or move it away to start from its archive"
        return Finding("events", str(path), "broken", f"cannot be read: {error}", remedy)
    facts = {"sqlite": sqlite3.sqlite_version, "newest_offset": newest}
    return Finding("events", str(path), "ok", f"SQLite, newest offset {newest:,}", facts=facts)
