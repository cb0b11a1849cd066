"""The doctor's look at the online store. An engine adds its check to CHECKS, by the scheme of its address."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing

from feature_repo.away import remedy_of
from feature_repo.layout import is_applied, online_file
from feature_repo.online.factory import online_position
from tailorbird.doctor.engines import check_engine
from tailorbird.doctor.finding import Finding
from tailorbird.settings import Settings

CHECKS = {"sqlite": "feature_repo.health:check_sqlite"}


def check_online(settings: Settings) -> Sequence[Finding]:
    """Ask the engine that keeps the live profiles."""
    return check_engine("online store", "sqlite", settings, known=CHECKS)


def check_sqlite(settings: Settings) -> Sequence[Finding]:
    """The embedded store: one database file in today's layout."""
    path = online_file(settings.feature_folder)
    if not path.exists() or not is_applied(settings):
        remedy = "`tailorbird features` makes it and fills it from the events"
        return [Finding("online store", str(path), "warning", "not there in today's layout", remedy)]
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=1.0)) as connection:
            connection.execute("SELECT count(*) FROM marks").fetchone()
    except sqlite3.Error as error:
        return [
            Finding(
                "online store", str(path), "broken", f"cannot be read: {error}", remedy_of(str(error), path)
            )
        ]
    position = online_position(settings).to_text()
    says = f"SQLite, follows the events up to {position or 'their beginning'}"
    return [Finding("online store", str(path), "ok", says, facts={"position": position})]
